package cases

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kms-conformance/internal/conformance"
)

// longUIDBytes is far above the 36 of a UUID and far below any sensible limit.
const longUIDBytes = 256

func uidCases() []conformance.Case {
	return []conformance.Case{
		{
			ID: "uid/not-bound", Profile: conformance.Spec,
			Sentence: "what was encrypted under one uid is decrypted under others: kube-apiserver never sends one twice",
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				client, err := bench.Client()
				if err != nil {
					return err
				}
				sample, err := client.Sample(ctx)
				for range 3 {
					if err != nil {
						return err
					}
					sample.Request.Uid = conformance.NewUID()
					err = client.Verify(ctx, sample)
				}
				return err
			},
		},
		roundTripUnder("uid/empty", "an empty uid does no harm", ""),
		roundTripUnder("uid/unicode", "a uid may hold any characters", "Ünïcödé-🔑-सील-封"),
		roundTripUnder("uid/long", "a uid may have 256 bytes", strings.Repeat("u", longUIDBytes)),
		{
			ID: "uid/control-characters", Profile: conformance.Strict,
			Sentence: "a uid with control characters is taken, or refused with INVALID_ARGUMENT, and nobody else notices",
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				return testOddUID(ctx, bench, "a\r\nb\x00\x1b[31m\u2028\u202e", codes.InvalidArgument)
			},
		},
		{
			ID: "uid/one-megabyte", Profile: conformance.Spec,
			Sentence: "a uid of 1 MB is taken, or refused with INVALID_ARGUMENT or RESOURCE_EXHAUSTED, and nobody else notices",
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				return testOddUID(ctx, bench, strings.Repeat("u", 1<<20), codes.InvalidArgument, codes.ResourceExhausted)
			},
		},
	}
}

func roundTripUnder(id, sentence, uid string) conformance.Case {
	return conformance.Case{ID: id, Profile: conformance.Strict, Sentence: sentence,
		Test: func(ctx context.Context, bench *conformance.Bench) error {
			client, err := bench.Client()
			if err != nil {
				return err
			}
			sample, err := client.RoundTrip(ctx, conformance.NewSeed(), uid)
			if err != nil {
				return err
			}
			sample.Request.Uid = uid
			return client.Verify(ctx, sample)
		}}
}

func testOddUID(ctx context.Context, bench *conformance.Bench, uid string, refusals ...codes.Code) error {
	bystander, err := bench.Bystander(ctx)
	if err != nil {
		return err
	}
	client, err := bench.Client()
	if err != nil {
		return err
	}
	encrypted, err := client.Encrypt(ctx, conformance.NewSeed(), uid)
	if err == nil && len(encrypted.Ciphertext) == 0 {
		return conformance.Fail("a ciphertext or a refusal", "an empty ciphertext")
	}
	if err != nil {
		if err := expectCode(status.Convert(err), refusals...); err != nil {
			return err
		}
	}
	return bystander.StillServed(ctx)
}
