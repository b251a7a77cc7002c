package storedobject

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	kmstypes "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2"

	"kms-conformance/internal/envelope"
)

var errNoPrefix = errors.New("no prefix that matches")

// Make makes all vectors. Each run makes the same.
func Make(ctx context.Context) (*Vectors, error) {
	objects, err := makeObjects(ctx)
	if err != nil {
		return nil, err
	}
	refused, err := makeRefused(ctx)
	if err != nil {
		return nil, err
	}
	others, err := makeOthers(ctx)
	if err != nil {
		return nil, err
	}
	return &Vectors{Objects: objects, Refused: refused, Others: others}, nil
}

// Verify has kube-apiserver's code read every vector, and compares.
func (v *Vectors) Verify(ctx context.Context) error {
	var problems []error
	note := func(file, name string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %s: %w", file, name, err))
		}
	}
	for _, object := range v.Objects {
		note(ObjectsFile, object.Name, object.verify(ctx))
	}
	for _, refused := range v.Refused {
		got, err := refusalOf(ctx, refused.Value, refused.ProviderName)
		if err == nil && got != refused.Error {
			err = fmt.Errorf("kube-apiserver says %q", got)
		}
		note(RefusedFile, refused.Name, err)
	}
	for _, other := range v.Others {
		note(OthersFile, other.Name, other.verify())
	}
	return errors.Join(problems...)
}

// reader reads what begins with the provider's prefix, as kube-apiserver does, and asks the provider for nothing but the seed.
func reader(ctx context.Context, providerName string, seed []byte, keyID string) (value.Transformer, error) {
	state := kmsv2.State{
		EncryptedObjectKeyID:                  keyID,
		EncryptedObjectEncryptedDEKSourceType: kmstypes.EncryptedDEKSourceType_HKDF_SHA256_XNONCE_AES_GCM_SEED,
	}
	return value.NewPrefixTransformers(errNoPrefix, value.PrefixTransformer{
		Prefix:      []byte(Prefix(providerName)),
		Transformer: envelope.NewTransformer(&fixedProvider{seed: seed}, providerName, state),
	}), ctx.Err()
}

func (o Object) verify(ctx context.Context) error {
	stored, err := hex.DecodeString(o.Value)
	if err != nil {
		return err
	}
	seed, err := hex.DecodeString(o.DEKSource)
	if err != nil {
		return err
	}
	transformer, err := reader(ctx, o.ProviderName, seed, o.KeyID)
	if err != nil {
		return err
	}
	content, _, err := transformer.TransformFromStorage(ctx, stored, value.DefaultContext(o.Path))
	if err != nil {
		return err
	}
	if toHex(content) != o.Content {
		return fmt.Errorf("kube-apiserver reads %x", content)
	}
	return o.verifyFields(bytes.TrimPrefix(stored, []byte(Prefix(o.ProviderName))))
}

func (o Object) verifyFields(object []byte) error {
	var parsed kmstypes.EncryptedObject
	if err := proto.Unmarshal(object, &parsed); err != nil {
		return err
	}
	if parsed.KeyID != o.KeyID || toHex(parsed.EncryptedDEKSource) != o.EncryptedDEKSource ||
		toHex(parsed.EncryptedData) != o.EncryptedData || parsed.EncryptedDEKSourceType.String() != o.EncryptedDEKSourceType {
		return errors.New("kube-apiserver parses other fields")
	}
	if len(parsed.Annotations) != len(o.Annotations) {
		return fmt.Errorf("kube-apiserver parses %d annotations", len(parsed.Annotations))
	}
	for name, content := range parsed.Annotations {
		if expected, ok := o.Annotations[name]; !ok || expected != toHex(content) {
			return fmt.Errorf("kube-apiserver parses annotation %s to %x", name, content)
		}
	}
	return nil
}

// refusalOf gives kube-apiserver's reason to refuse a value, without having asked the provider.
func refusalOf(ctx context.Context, valueHex, providerName string) (string, error) {
	stored, err := hex.DecodeString(valueHex)
	if err != nil {
		return "", err
	}
	transformer, err := reader(ctx, providerName, nil, commonKeyID)
	if err != nil {
		return "", err
	}
	_, _, refusal := transformer.TransformFromStorage(ctx, stored, value.DefaultContext(objectPath))
	switch {
	case refusal == nil:
		return "", errors.New("kube-apiserver reads it")
	case errors.Is(refusal, errNotAsked):
		return "", errors.New("kube-apiserver asks the provider for it")
	case errors.Is(refusal, errNoPrefix):
		return "", errors.New("kube-apiserver sees no prefix of KMS v2")
	}
	// Protocol Buffers' Go code puts a no-break space into its errors in some builds, lest anyone compares them.
	return strings.ReplaceAll(refusal.Error(), "\u00a0", " "), nil
}

func (o Other) verify() error {
	stored, err := hex.DecodeString(o.Value)
	if err == nil && bytes.HasPrefix(stored, []byte("k8s:enc:kms:v2:")) {
		err = errors.New("it begins like an object under KMS v2")
	}
	return err
}
