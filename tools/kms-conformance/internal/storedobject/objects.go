package storedobject

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"k8s.io/apiserver/pkg/storage/value"
	kmstypes "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2"
	"k8s.io/kms/pkg/service"

	"kms-conformance/internal/envelope"
)

// The limits of kube-apiserver that it does not export.
const (
	maxKeyIDBytes       = 1 << 10
	maxDEKSourceBytes   = 1 << 10
	maxAnnotationsBytes = 32 << 10
)

const (
	objectPath    = "/registry/secrets/default/password"
	objectContent = "k8s\x00\n\f\n\x02v1\x12\x06Secret"
	commonName    = "sealed"
	commonKeyID   = "8f4c1f0e2d6b9a7355e1c0a4d2b7f696"
)

// Prefix is what stands before the EncryptedObject.
func Prefix(providerName string) string { return "k8s:enc:kms:v2:" + providerName + ":" }

// request is what a vector shows, before kube-apiserver's code has written it.
type request struct {
	name         string
	providerName string
	keyID        string
	dekSource    []byte
	annotations  map[string][]byte
	plainDEK     bool
	content      string
	// rewrite changes the EncryptedObject's bytes to others that mean the same or less; nil leaves them.
	rewrite func(object []byte) []byte
}

func requests() []request {
	dekSource := fixedBytes("encrypted DEK source", 93)
	two := map[string][]byte{"lineage.kms.example": []byte("b6d9"), "version.kms.example": {0, 1, 2, 255}}
	common := func(name string) request {
		return request{name: name, providerName: commonName, keyID: commonKeyID, dekSource: dekSource, content: objectContent}
	}
	with := func(name string, change func(request *request)) request {
		one := common(name)
		change(&one)
		return one
	}
	return []request{
		common("a seed, no annotations"),
		with("a DEK, as before Kubernetes 1.29: its type is the default and not written", func(r *request) { r.plainDEK = true }),
		with("one annotation", func(r *request) { r.annotations = map[string][]byte{"version.kms.example": []byte("1")} }),
		with("two annotations", func(r *request) { r.annotations = two }),
		with("two annotations, the names in falling order", func(r *request) { r.annotations, r.rewrite = two, swapAnnotations }),
		with("an annotation with an empty value", func(r *request) { r.annotations = map[string][]byte{"empty.kms.example": {}} }),
		with("an annotation whose value is not written at all", func(r *request) {
			r.annotations, r.rewrite = map[string][]byte{"empty.kms.example": {}}, func(object []byte) []byte {
				return appendAnnotation(dropField(object, annotationsField), []byte("empty.kms.example"), nil)
			}
		}),
		with("an annotation twice: the last counts", func(r *request) {
			r.annotations, r.rewrite = map[string][]byte{"version.kms.example": []byte("2")}, func(object []byte) []byte {
				first := appendAnnotation(nil, []byte("version.kms.example"), []byte("1"))
				return slices.Concat(first, object)
			}
		}),
		with("annotations of 32 KiB, the most", func(r *request) {
			const name = "large.kms.example"
			r.annotations = map[string][]byte{name: fixedBytes("large annotation", maxAnnotationsBytes-len(name))}
		}),
		with("a key id of one byte", func(r *request) { r.keyID = "k" }),
		with("a key id of 1 KiB, the most", func(r *request) { r.keyID = strings.Repeat("0123456789abcdef", maxKeyIDBytes/16) }),
		with("a key id that is not ASCII", func(r *request) { r.keyID = "schlüssel-🔑" }),
		with("an encrypted DEK source of one byte", func(r *request) { r.dekSource = []byte{0} }),
		with("an encrypted DEK source of 1 KiB, the most", func(r *request) { r.dekSource = fixedBytes("large DEK source", maxDEKSourceBytes) }),
		with("a provider's name of one letter", func(r *request) { r.providerName = "k" }),
		with("a provider's name with every kind of character but a colon", func(r *request) { r.providerName = "Key.store_2-ö/ä b" }),
		with("empty content", func(r *request) { r.content = "" }),
		with("4 KiB of content", func(r *request) { r.content = objectContent + strings.Repeat("x", 4<<10) }),
		with("fields in falling order", func(r *request) { r.annotations, r.rewrite = two, reverseFields }),
		with("a field of a newer version", func(r *request) {
			r.rewrite = func(object []byte) []byte {
				return protowire.AppendString(protowire.AppendTag(slices.Clone(object), 6, protowire.BytesType), "newer")
			}
		}),
		with("a key id twice: the last counts", func(r *request) {
			r.rewrite = func(object []byte) []byte {
				return slices.Concat(protowire.AppendString(protowire.AppendTag(nil, keyIDField, protowire.BytesType), "first"), object)
			}
		}),
		with("a length written longer than it need be", func(r *request) { r.rewrite = longLengths }),
	}
}

func makeObjects(ctx context.Context) ([]Object, error) {
	var objects []Object
	for _, one := range requests() {
		object, err := one.make(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.name, err)
		}
		objects = append(objects, *object)
	}
	return objects, nil
}

func (r request) make(ctx context.Context) (*Object, error) {
	written, seed, err := r.write(ctx)
	if err != nil {
		return nil, err
	}
	how := source
	if r.rewrite != nil {
		written = r.rewrite(written)
		how += ", its Protocol Buffers fields rewritten"
	}
	var parsed kmstypes.EncryptedObject
	if err := proto.Unmarshal(written, &parsed); err != nil {
		return nil, err
	}
	object := &Object{
		Name: r.name, Source: how, Value: toHex(append([]byte(Prefix(r.providerName)), written...)),
		ProviderName: r.providerName, KeyID: parsed.KeyID, Annotations: map[string]string{},
		EncryptedDEKSource:     toHex(parsed.EncryptedDEKSource),
		EncryptedDEKSourceType: parsed.EncryptedDEKSourceType.String(),
		EncryptedData:          toHex(parsed.EncryptedData),
		DEKSource:              toHex(seed), Path: objectPath, Content: toHex([]byte(r.content)),
	}
	for name, value := range parsed.Annotations {
		object.Annotations[name] = toHex(value)
	}
	if object.KeyID != r.keyID || len(object.Annotations) != len(r.annotations) {
		return nil, fmt.Errorf("it parses to key id %q and %d annotations", object.KeyID, len(object.Annotations))
	}
	return object, nil
}

// write has kube-apiserver's code write the object. Protocol Buffers' Go code writes a map in any order: it is asked again,
// with the same random bytes, until the names rise.
func (r request) write(ctx context.Context) (written, seed []byte, err error) {
	for written == nil || !annotationsRise(written) {
		err := withRandomOf(r.name, func() error {
			provider := &fixedProvider{answer: &service.EncryptResponse{Ciphertext: r.dekSource, KeyID: r.keyID, Annotations: r.annotations}}
			state, err := envelope.NewState(ctx, provider, !r.plainDEK)
			if err != nil {
				return err
			}
			seed = slices.Clone(provider.seed)
			written, err = envelope.NewTransformer(provider, r.providerName, state).
				TransformToStorage(ctx, []byte(r.content), value.DefaultContext(objectPath))
			return err
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return written, seed, nil
}
