package cases

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	kmsapi "k8s.io/kms/apis/v2"

	"kms-conformance/internal/conformance"
	"kms-conformance/internal/rawhttp2"
)

const (
	timeoutHeader = "grpc-timeout"
	// cancelStep spreads the cancellations of many calls over 10 ms.
	cancelStep = 50 * time.Microsecond
)

func deadlineCases() []conformance.Case {
	return []conformance.Case{
		timeoutCase("grpc/deadline-units", conformance.Spec, "a deadline may be given in each unit, with up to eight digits",
			[]string{"1H", "5M", "30S", "30000m", "30000000u", "99999999u", "99999999n", "00000030S"},
			func(ctx context.Context, bench *conformance.Bench, outcome *rawhttp2.Outcome, seed []byte) error {
				return expectEncrypted(ctx, bench, outcome, seed)
			}),
		timeoutCase("grpc/malformed-deadline", conformance.Spec, "a deadline that is none is answered, one way or the other",
			[]string{"S", "1", "1x", "-1S", "+1S", "1.5S", " 1S", "999999999S", "18446744073709551616S"},
			func(_ context.Context, _ *conformance.Bench, outcome *rawhttp2.Outcome, _ []byte) error {
				return answered(outcome)
			}),
		timeoutCase("grpc/deadline-honoured", conformance.Strict,
			"a call whose deadline has passed on arrival ends with DEADLINE_EXCEEDED or RST_STREAM",
			[]string{"1n", "0n", "0S"},
			func(_ context.Context, _ *conformance.Bench, outcome *rawhttp2.Outcome, _ []byte) error {
				if code, ok := outcome.Code(); (ok && code == codes.DeadlineExceeded) || outcome.ResetBy != nil {
					return nil
				}
				return conformance.Fail("DEADLINE_EXCEEDED or RST_STREAM", "%s", outcome)
			}),
		{
			ID: "grpc/short-deadlines-do-no-harm", Profile: conformance.Spec,
			Sentence: "after many calls whose deadline passed on the way, the same connection serves as before",
			Test:     testShortDeadlines,
		},
		{
			ID: "grpc/cancelled-calls-do-no-harm", Profile: conformance.Spec,
			Sentence: "after many calls that the client took back half sent, the same connection serves as before",
			Test:     testCancelledCalls,
		},
		{
			ID: "grpc/cancelled-by-client", Profile: conformance.Spec,
			Sentence: "after many calls that a Go client cancelled, its connection serves as before",
			Test:     testCancelledByClient,
		},
	}
}

// timeoutCase makes one call for each value of grpc-timeout.
func timeoutCase(
	id string, profile conformance.Profile, sentence string, values []string,
	judge func(ctx context.Context, bench *conformance.Bench, outcome *rawhttp2.Outcome, seed []byte) error,
) conformance.Case {
	return conformance.Case{ID: id, Profile: profile, Sentence: sentence,
		Test: func(ctx context.Context, bench *conformance.Bench) error {
			bystander, err := bench.Bystander(ctx)
			if err != nil {
				return err
			}
			for _, value := range values {
				seed := conformance.NewSeed()
				call := headerCall("", "", rawhttp2.Field{Name: timeoutHeader, Value: value})
				outcome, err := call.call(ctx, bench, seed)
				if err != nil {
					return err
				}
				if err := judge(ctx, bench, outcome, seed); err != nil {
					return conformance.At(err, "grpc-timeout %q", value)
				}
			}
			return bystander.StillServed(ctx)
		}}
}

func testShortDeadlines(ctx context.Context, bench *conformance.Bench) error {
	client, err := bench.Client()
	if err != nil {
		return err
	}
	sample, err := client.Sample(ctx)
	if err != nil {
		return err
	}
	passed := 0
	for call := range atOnce {
		shortCtx, cancel := context.WithTimeout(ctx, time.Duration(call+1)*time.Microsecond)
		_, err := client.KMS.Encrypt(shortCtx, &kmsapi.EncryptRequest{Plaintext: sample.Plaintext, Uid: conformance.NewUID()})
		cancel()
		if err == nil {
			continue
		}
		if err := expectCode(status.Convert(err), codes.DeadlineExceeded); err != nil {
			return err
		}
		passed++
	}
	if passed == 0 {
		return conformance.Fail("deadlines that pass", "all calls answered within 1 µs")
	}
	return expectSameConnection(ctx, client, sample)
}

func testCancelledByClient(ctx context.Context, bench *conformance.Bench) error {
	client, err := bench.Client()
	if err != nil {
		return err
	}
	sample, err := client.Sample(ctx)
	if err != nil {
		return err
	}
	err = together(atOnce, func(index int) error {
		cancelledCtx, cancel := context.WithCancel(ctx)
		timer := time.AfterFunc(time.Duration(index)*cancelStep, cancel)
		defer timer.Stop()
		defer cancel()
		_, err := client.KMS.Encrypt(cancelledCtx, &kmsapi.EncryptRequest{Plaintext: sample.Plaintext, Uid: conformance.NewUID()})
		if err == nil {
			return nil
		}
		return expectCode(status.Convert(err), codes.Canceled)
	})
	if err != nil {
		return err
	}
	return expectSameConnection(ctx, client, sample)
}

func expectSameConnection(ctx context.Context, client *conformance.Client, sample *conformance.Sample) error {
	if err := client.Verify(ctx, sample); err != nil {
		return err
	}
	if dials := client.Dials(); dials != 1 {
		return conformance.Fail("the connection is kept", "it was lost and dialled %d times", dials)
	}
	return nil
}

// testCancelledCalls stays below the number of resets at which servers may take us for an attacker.
func testCancelledCalls(ctx context.Context, bench *conformance.Bench) error {
	const cancelled = 50
	bystander, err := bench.Bystander(ctx)
	if err != nil {
		return err
	}
	connection, err := bench.Raw(ctx, bench.CallTimeout)
	if err != nil {
		return err
	}
	if err := connection.Start(); err != nil {
		return err
	}
	stream := uint32(firstStream)
	for ; stream < 2*cancelled; stream += 2 {
		if err := connection.OpenStream(stream, rawhttp2.CallFields(encryptPath), false); err != nil {
			return err
		}
		if err := connection.Send(stream, []byte{0, 0, 0}, false); err != nil {
			return err
		}
		if err := connection.Reset(stream); err != nil {
			return err
		}
	}
	seed := conformance.NewSeed()
	outcome, err := encryptOn(connection, stream, seed)
	if err != nil {
		return err
	}
	if err := expectEncrypted(ctx, bench, outcome, seed); err != nil {
		return err
	}
	return bystander.StillServed(ctx)
}
