package cases

import (
	"bytes"
	"context"

	"google.golang.org/protobuf/proto"
	kmstypes "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2"

	"kms-conformance/internal/conformance"
	"kms-conformance/internal/envelope"
)

const (
	providerName = "conformance"
	objectCount  = 1000
	seedCount    = 100
	seedReaders  = 16
)

func kubeAPIServerCases() []conformance.Case {
	return []conformance.Case{
		{
			ID: "kube-apiserver/encryption-configuration", Profile: conformance.Spec,
			Sentence: "kube-apiserver's own loader takes the provider from an EncryptionConfiguration, finds it healthy, writes and reads",
			Test:     testEncryptionConfiguration,
		},
		{
			ID: "kube-apiserver/objects", Profile: conformance.Spec,
			Sentence: "kube-apiserver's envelope writes 1,000 objects and reads them back with one Encrypt and no Decrypt",
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				_, err := writeObjects(ctx, bench)
				return err
			},
		},
		{
			ID: "kube-apiserver/restart", Profile: conformance.Spec,
			Sentence: "after a restart, with nothing cached, another kube-apiserver reads all of them, and none is stale",
			Test:     testRestart,
		},
		{
			ID: "kube-apiserver/many-seeds", Profile: conformance.Spec,
			Sentence: "16 readers at once read objects under 100 seeds with nothing cached",
			Test:     testManySeeds,
		},
		{
			ID: "kube-apiserver/plain-dek", Profile: conformance.Spec,
			Sentence: "objects in the form before Kubernetes 1.29, with an encrypted DEK and no seed, are written and read",
			Test:     testPlainDEK,
		},
		{
			ID: "kube-apiserver/tampered-object", Profile: conformance.Spec,
			Sentence: "an object in etcd whose encrypted seed or key id was changed is not read",
			Test:     testTamperedObject,
		},
	}
}

// stored is what etcd would hold.
type stored struct {
	provider *envelope.Counting
	objects  [][]byte
}

func writeObjects(ctx context.Context, bench *conformance.Bench) (*stored, error) {
	client, err := bench.KubeAPIServer(ctx, providerName)
	if err != nil {
		return nil, err
	}
	counting := &envelope.Counting{Service: client}
	state, err := envelope.NewState(ctx, counting, true)
	if err != nil {
		return nil, err
	}
	transformer := envelope.NewTransformer(counting, providerName, state)
	written := &stored{provider: counting}
	for index := range objectCount {
		object, err := transformer.TransformToStorage(ctx, envelope.ObjectContent(index), envelope.ObjectContext(index))
		if err != nil {
			return nil, err
		}
		content, stale, err := transformer.TransformFromStorage(ctx, object, envelope.ObjectContext(index))
		if err != nil {
			return nil, err
		}
		if stale || !bytes.Equal(content, envelope.ObjectContent(index)) {
			return nil, conformance.Fail("the object as it was written", "stale: %t, %d bytes", stale, len(content))
		}
		written.objects = append(written.objects, object)
	}
	if encrypts, decrypts := counting.Encrypts.Load(), counting.Decrypts.Load(); encrypts != 1 || decrypts != 0 {
		return nil, conformance.Fail("one Encrypt and no Decrypt", "%d and %d", encrypts, decrypts)
	}
	return written, nil
}

func testRestart(ctx context.Context, bench *conformance.Bench) error {
	written, err := writeObjects(ctx, bench)
	if err != nil {
		return err
	}
	state, err := envelope.NewState(ctx, written.provider, true)
	if err != nil {
		return err
	}
	transformer := envelope.NewTransformer(written.provider, providerName, state)
	for index, object := range written.objects {
		content, stale, err := transformer.TransformFromStorage(ctx, object, envelope.ObjectContext(index))
		if err != nil {
			return err
		}
		if stale || !bytes.Equal(content, envelope.ObjectContent(index)) {
			return conformance.Fail("the object as it was written, and not stale", "object %d: stale: %t, %d bytes", index, stale, len(content))
		}
	}
	if decrypts := written.provider.Decrypts.Load(); decrypts != 1 {
		return conformance.Fail("one Decrypt for the one seed of all objects", "%d", decrypts)
	}
	return nil
}

func testManySeeds(ctx context.Context, bench *conformance.Bench) error {
	client, err := bench.KubeAPIServer(ctx, providerName)
	if err != nil {
		return err
	}
	objects, state, err := envelope.WriteUnderSeeds(ctx, client, providerName, seedCount, seedCount, seedReaders)
	if err != nil {
		return err
	}
	return envelope.ReadAll(ctx, envelope.NewTransformer(client, providerName, state), objects, seedReaders)
}

func testPlainDEK(ctx context.Context, bench *conformance.Bench) error {
	client, err := bench.KubeAPIServer(ctx, providerName)
	if err != nil {
		return err
	}
	state, err := envelope.NewState(ctx, client, false)
	if err != nil {
		return err
	}
	object, err := envelope.NewTransformer(client, providerName, state).
		TransformToStorage(ctx, envelope.ObjectContent(1), envelope.ObjectContext(1))
	if err != nil {
		return err
	}
	content, _, err := envelope.NewTransformer(client, providerName, state).TransformFromStorage(ctx, object, envelope.ObjectContext(1))
	if err != nil {
		return err
	}
	if !bytes.Equal(content, envelope.ObjectContent(1)) {
		return conformance.Fail("the object as it was written", "%d other bytes", len(content))
	}
	return nil
}

func testTamperedObject(ctx context.Context, bench *conformance.Bench) error {
	client, err := bench.KubeAPIServer(ctx, providerName)
	if err != nil {
		return err
	}
	state, err := envelope.NewState(ctx, client, true)
	if err != nil {
		return err
	}
	written, err := envelope.NewTransformer(client, providerName, state).
		TransformToStorage(ctx, envelope.ObjectContent(1), envelope.ObjectContext(1))
	if err != nil {
		return err
	}
	read := func(object []byte) error {
		_, _, err := envelope.NewTransformer(client, providerName, state).TransformFromStorage(ctx, object, envelope.ObjectContext(1))
		return err
	}
	if err := read(written); err != nil {
		return conformance.Fail("the unchanged object is read", "%v", err)
	}
	for what, change := range map[string]func(object *kmstypes.EncryptedObject){
		"the encrypted seed": func(object *kmstypes.EncryptedObject) { object.EncryptedDEKSource[0] ^= 1 },
		"the key id":         func(object *kmstypes.EncryptedObject) { object.KeyID += "x" },
	} {
		var object kmstypes.EncryptedObject
		if err := proto.Unmarshal(written, &object); err != nil {
			return err
		}
		change(&object)
		changed, err := proto.Marshal(&object)
		if err != nil {
			return err
		}
		if read(changed) == nil {
			return conformance.Fail("a changed object is not read", "it was, though %s was changed", what)
		}
	}
	return nil
}
