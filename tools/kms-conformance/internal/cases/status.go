package cases

import (
	"context"

	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"

	"kms-conformance/internal/conformance"
)

const (
	// statusCalls are enough to see a key id that alternates between nodes or threads.
	statusCalls = 200
	// statusConnections stand for several kube-apiservers.
	statusConnections = 10
	// atOnce is how many calls kube-apiserver may have under way at its start, when it reads many objects.
	atOnce = 200
)

func statusCases() []conformance.Case {
	return []conformance.Case{
		{
			ID: "status/version", Profile: conformance.Spec,
			Sentence: `Status says version "v2"`,
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				status, err := statusOf(ctx, bench)
				if err != nil {
					return err
				}
				// kube-apiserver takes v2beta1 for the same, and promises to drop it some day.
				if status.version != kmsv2.KMSAPIVersionv2 && status.version != kmsv2.KMSAPIVersionv2beta1 {
					return conformance.Fail(`version "v2"`, "%q", status.version)
				}
				return nil
			},
		},
		{
			ID: "status/version-is-stable-api", Profile: conformance.Strict,
			Sentence: `Status says version "v2" and not "v2beta1", which kube-apiserver may drop`,
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				status, err := statusOf(ctx, bench)
				if err == nil && status.version != kmsv2.KMSAPIVersionv2 {
					err = conformance.Fail(`version "v2"`, "%q", status.version)
				}
				return err
			},
		},
		{
			ID: "status/healthz", Profile: conformance.Spec,
			Sentence: `Status says healthz "ok"`,
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				status, err := statusOf(ctx, bench)
				if err == nil && status.healthz != "ok" {
					err = conformance.Fail(`healthz "ok"`, "%q", status.healthz)
				}
				return err
			},
		},
		{
			ID: "status/key-id-length", Profile: conformance.Spec,
			Sentence: "the key id is not empty and has at most 1 KiB",
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				status, err := statusOf(ctx, bench)
				if err != nil {
					return err
				}
				if _, err := kmsv2.ValidateKeyID(status.keyID); err != nil {
					return conformance.Fail("a key id that kube-apiserver takes", "%v", err)
				}
				return nil
			},
		},
		{
			ID: "status/key-id-stable", Profile: conformance.Spec,
			Sentence: "the key id is the same in call after call, on each of several connections",
			Test:     testKeyIDStable,
		},
		{
			ID: "status/concurrent", Profile: conformance.Spec,
			Sentence: "many Status calls at once are all answered",
			Test:     testConcurrentStatus,
		},
	}
}

type statusAnswer struct{ version, healthz, keyID string }

func statusOf(ctx context.Context, bench *conformance.Bench) (statusAnswer, error) {
	client, err := bench.Client()
	if err != nil {
		return statusAnswer{}, err
	}
	status, err := client.Status(ctx)
	if err != nil {
		return statusAnswer{}, conformance.Fail("Status answers", "%v", err)
	}
	return statusAnswer{version: status.Version, healthz: status.Healthz, keyID: status.KeyId}, nil
}

func testKeyIDStable(ctx context.Context, bench *conformance.Bench) error {
	first, err := statusOf(ctx, bench)
	if err != nil {
		return err
	}
	for range statusConnections {
		client, err := bench.Client()
		if err != nil {
			return err
		}
		for range statusCalls / statusConnections {
			status, err := client.Status(ctx)
			if err != nil {
				return conformance.Fail("Status answers", "%v", err)
			}
			if status.KeyId != first.keyID {
				return conformance.Fail("one key id", "%s and then %s", quoteKeyID(first.keyID), quoteKeyID(status.KeyId))
			}
		}
	}
	return nil
}

func testConcurrentStatus(ctx context.Context, bench *conformance.Bench) error {
	client, err := bench.Client()
	if err != nil {
		return err
	}
	return together(atOnce, func(int) error {
		status, err := client.Status(ctx)
		if err != nil {
			return conformance.Fail("each of the calls is answered", "%v", err)
		}
		if status.KeyId == "" {
			return conformance.Fail("each of the calls is answered", "an answer without a key id")
		}
		return nil
	})
}
