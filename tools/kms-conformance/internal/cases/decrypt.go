package cases

import (
	"context"
	"math/rand/v2"

	"google.golang.org/protobuf/proto"
	kmsapi "k8s.io/kms/apis/v2"

	"kms-conformance/internal/conformance"
)

func decryptCases() []conformance.Case {
	return []conformance.Case{
		{
			ID: "decrypt/again-and-again", Profile: conformance.Spec,
			Sentence: "what was encrypted once is decrypted as often as asked",
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				client, err := bench.Client()
				if err != nil {
					return err
				}
				sample, err := client.Sample(ctx)
				for range repeats {
					if err != nil {
						return err
					}
					err = client.Verify(ctx, sample)
				}
				return err
			},
		},
		{
			ID: "decrypt/on-another-connection", Profile: conformance.Spec,
			Sentence: "what was encrypted on one connection is decrypted on another",
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				first, err := bench.Client()
				if err != nil {
					return err
				}
				second, err := bench.Client()
				if err != nil {
					return err
				}
				sample, err := first.Sample(ctx)
				if err != nil {
					return err
				}
				return second.Verify(ctx, sample)
			},
		},
		{
			ID: "decrypt/out-of-order", Profile: conformance.Spec,
			Sentence: "what was encrypted first can be decrypted last: the order of calls does not matter",
			Test:     testOutOfOrder,
		},
		{
			ID: "decrypt/refusals-do-no-harm", Profile: conformance.Spec,
			Sentence: "after a thousand refused Decrypts the provider is as healthy as before, under the same key id",
			Test:     testRefusalsDoNoHarm,
		},
	}
}

func testOutOfOrder(ctx context.Context, bench *conformance.Bench) error {
	client, err := bench.Client()
	if err != nil {
		return err
	}
	samples := make([]*conformance.Sample, repeats)
	for index := range samples {
		if samples[index], err = client.Sample(ctx); err != nil {
			return err
		}
	}
	rand.Shuffle(len(samples), func(i, j int) { samples[i], samples[j] = samples[j], samples[i] })
	for _, sample := range samples {
		if err := client.Verify(ctx, sample); err != nil {
			return err
		}
	}
	return nil
}

func testRefusalsDoNoHarm(ctx context.Context, bench *conformance.Bench) error {
	const refusals = 1000
	bystander, err := bench.Bystander(ctx)
	if err != nil {
		return err
	}
	client, err := bench.Client()
	if err != nil {
		return err
	}
	before, err := client.Status(ctx)
	if err != nil {
		return err
	}
	sample, err := client.Sample(ctx)
	if err != nil {
		return err
	}
	err = inTurns(refusalWorkers, refusals, func(index int) error {
		changed := proto.CloneOf(sample.Request)
		changed.Ciphertext[index%len(changed.Ciphertext)] ^= 1
		answer, err := client.Decrypt(ctx, changed)
		return judgeRefusal(answer, err)
	})
	if err != nil {
		return err
	}
	return expectUnharmed(ctx, client, before, bystander)
}

func expectUnharmed(ctx context.Context, client *conformance.Client, before *kmsapi.StatusResponse, bystander *conformance.Bystander) error {
	after, err := client.Status(ctx)
	if err != nil {
		return conformance.Fail("Status answers after the refusals", "%v", err)
	}
	if after.Healthz != "ok" || after.KeyId != before.KeyId {
		return conformance.Fail("healthz and key id as before", "healthz %q, key id %s", after.Healthz, quoteKeyID(after.KeyId))
	}
	if dials := client.Dials(); dials != 1 {
		return conformance.Fail("the connection survives refusals", "it was dialled %d times", dials)
	}
	return bystander.StillServed(ctx)
}
