package cases

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/kms/pkg/service"

	"kms-conformance/internal/conformance"
	"kms-conformance/internal/envelope"
)

const (
	rotationPoll = 200 * time.Millisecond
	// watchPoll is how often Status is asked once the key id has changed.
	watchPoll          = 10 * time.Millisecond
	objectsForRotation = 20
)

// rotation is one change of the key, which all cases of this theme look at from their own side.
type rotation struct {
	once          sync.Once
	err           error
	oldKeyID      string
	newKeyID      string
	objects       [][]byte
	sample        *conformance.Sample
	secondsWaited float64
	keyIDsAfter   []string
}

func rotationCases() []conformance.Case {
	var shared rotation
	rotated := func(id, sentence string, test func(ctx context.Context, bench *conformance.Bench, rotation *rotation) error) conformance.Case {
		return conformance.Case{ID: id, Profile: conformance.Spec, Sentence: sentence,
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				if bench.Rotate == nil {
					return &conformance.Skip{Reason: "no --rotate-command was given"}
				}
				shared.once.Do(func() { shared.err = shared.carryOut(ctx, bench) })
				if shared.err != nil {
					return shared.err
				}
				return test(ctx, bench, &shared)
			}}
	}
	return []conformance.Case{
		rotated("rotation/key-id-changes", "after --rotate-command Status says a new key id within --rotation-wait", testKeyIDChanged),
		rotated("rotation/never-flips-back", "the new key id stays, in poll after poll, for --rotation-watch", testNeverFlipsBack),
		rotated("rotation/old-data-decrypts", "what was encrypted before is still decrypted", testOldDataDecrypts),
		rotated("rotation/old-data-is-stale", "kube-apiserver takes what was encrypted before for stale, and what is written now for fresh", testOldDataIsStale),
		rotated("rotation/new-writes-use-new-key", "Encrypt uses the new key id", testNewWrites),
	}
}

func (r *rotation) carryOut(ctx context.Context, bench *conformance.Bench) error {
	client, err := bench.Client()
	if err != nil {
		return err
	}
	kubeAPIServer, err := bench.KubeAPIServer(ctx, providerName)
	if err != nil {
		return err
	}
	before, err := client.Status(ctx)
	if err != nil {
		return err
	}
	r.oldKeyID = before.KeyId
	if r.sample, err = client.Sample(ctx); err != nil {
		return err
	}
	if r.objects, _, err = envelope.WriteUnderSeeds(ctx, kubeAPIServer, providerName, 2, objectsForRotation, 1); err != nil {
		return err
	}
	if err := bench.Rotate(ctx); err != nil {
		return fmt.Errorf("--rotate-command: %w", err)
	}
	if err := r.awaitNewKeyID(ctx, bench, client); err != nil {
		return err
	}
	return r.watch(ctx, bench, client)
}

func (r *rotation) awaitNewKeyID(ctx context.Context, bench *conformance.Bench, client *conformance.Client) error {
	started := time.Now()
	for {
		status, err := client.Status(ctx)
		if err != nil {
			return conformance.Fail("Status answers during a rotation", "%v", err)
		}
		if status.KeyId != r.oldKeyID {
			r.newKeyID = status.KeyId
			r.secondsWaited = time.Since(started).Seconds()
			return nil
		}
		if time.Since(started) > bench.RotationPatience {
			return conformance.Fail("a new key id within "+bench.RotationPatience.String(), "still %s", quoteKeyID(r.oldKeyID))
		}
		if err := conformance.Pause(ctx, rotationPoll); err != nil {
			return err
		}
	}
}

func (r *rotation) watch(ctx context.Context, bench *conformance.Bench, client *conformance.Client) error {
	for started := time.Now(); time.Since(started) < bench.RotationWatch; {
		status, err := client.Status(ctx)
		if err != nil {
			return conformance.Fail("Status answers after a rotation", "%v", err)
		}
		r.keyIDsAfter = append(r.keyIDsAfter, status.KeyId)
		if err := conformance.Pause(ctx, watchPoll); err != nil {
			return err
		}
	}
	return nil
}

func testKeyIDChanged(_ context.Context, bench *conformance.Bench, rotation *rotation) error {
	bench.Measure("waitedSeconds", rotation.secondsWaited)
	if rotation.newKeyID == "" || rotation.newKeyID == rotation.oldKeyID {
		return conformance.Fail("a new key id", "%s", quoteKeyID(rotation.newKeyID))
	}
	return nil
}

func testNeverFlipsBack(_ context.Context, bench *conformance.Bench, rotation *rotation) error {
	for poll, keyID := range rotation.keyIDsAfter {
		if keyID != rotation.newKeyID {
			return conformance.Fail("the new key id "+quoteKeyID(rotation.newKeyID), "%s in poll %d", quoteKeyID(keyID), poll+1)
		}
	}
	bench.Measure("polls", float64(len(rotation.keyIDsAfter)))
	if len(rotation.keyIDsAfter) == 0 {
		return conformance.Fail("polls after the change", "none")
	}
	return nil
}

func testOldDataDecrypts(ctx context.Context, bench *conformance.Bench, rotation *rotation) error {
	client, err := bench.Client()
	if err != nil {
		return err
	}
	return client.Verify(ctx, rotation.sample)
}

func testOldDataIsStale(ctx context.Context, bench *conformance.Bench, rotation *rotation) error {
	kubeAPIServer, err := bench.KubeAPIServer(ctx, providerName)
	if err != nil {
		return err
	}
	state, err := envelope.NewState(ctx, kubeAPIServer, true)
	if err != nil {
		return err
	}
	transformer := envelope.NewTransformer(kubeAPIServer, providerName, state)
	for index, object := range rotation.objects {
		content, stale, err := transformer.TransformFromStorage(ctx, object, envelope.ObjectContext(index))
		if err != nil || !bytes.Equal(content, envelope.ObjectContent(index)) {
			return conformance.Fail("an old object is read as it was written", "error %v, %d bytes", err, len(content))
		}
		if !stale {
			return conformance.Fail("an old object is stale", "object %d is not", index)
		}
		rewritten, err := transformer.TransformToStorage(ctx, content, envelope.ObjectContext(index))
		if err != nil {
			return conformance.Fail("an old object is written anew", "%v", err)
		}
		if _, stale, err := transformer.TransformFromStorage(ctx, rewritten, envelope.ObjectContext(index)); err != nil || stale {
			return conformance.Fail("the object written anew is fresh", "error %v, stale %t", err, stale)
		}
	}
	return nil
}

func testNewWrites(ctx context.Context, bench *conformance.Bench, rotation *rotation) error {
	kubeAPIServer, err := bench.KubeAPIServer(ctx, providerName)
	if err != nil {
		return err
	}
	for range repeats {
		encrypted, err := kubeAPIServer.Encrypt(ctx, conformance.NewUID(), conformance.NewSeed())
		if err != nil {
			return conformance.Fail("Encrypt answers after a rotation", "%v", err)
		}
		if encrypted.KeyID != rotation.newKeyID {
			return conformance.Fail("the new key id "+quoteKeyID(rotation.newKeyID), "%s", quoteKeyID(encrypted.KeyID))
		}
		plaintext, err := kubeAPIServer.Decrypt(ctx, conformance.NewUID(), &service.DecryptRequest{
			Ciphertext: encrypted.Ciphertext, KeyID: encrypted.KeyID, Annotations: encrypted.Annotations,
		})
		if err != nil || len(plaintext) != conformance.SeedBytes {
			return conformance.Fail("what is encrypted now is decrypted", "error %v, %d bytes", err, len(plaintext))
		}
	}
	return nil
}
