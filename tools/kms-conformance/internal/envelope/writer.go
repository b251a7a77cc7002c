// Package envelope drives kube-apiserver's own envelope code: one Writer holds what one kube-apiserver holds.
package envelope

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	"k8s.io/kms/pkg/service"
)

// validity is how long a state may be written with. kube-apiserver renews it each minute; ours need not outlast a run.
const validity = 24 * time.Hour

// apiServerID stands where kube-apiserver puts its own in metrics.
const apiServerID = "kms-conformance"

// NewState has the provider encrypt a fresh seed, as kube-apiserver does at its start and when the key id changes.
// useSeed is how every kube-apiserver since 1.29 writes; without it the DEK itself is encrypted, as older ones did.
func NewState(ctx context.Context, provider service.Service, useSeed bool) (kmsv2.State, error) {
	uid := string(uuid.NewUUID())
	transformer, object, cacheKey, err := kmsv2.GenerateTransformer(ctx, uid, provider, useSeed)
	if err != nil {
		return kmsv2.State{}, fmt.Errorf("kube-apiserver's code takes no seed from this provider: %w", err)
	}
	return kmsv2.State{
		Transformer:                           transformer,
		EncryptedObjectKeyID:                  object.KeyID,
		EncryptedObjectEncryptedDEKSource:     object.EncryptedDEKSource,
		EncryptedObjectAnnotations:            object.Annotations,
		EncryptedObjectEncryptedDEKSourceType: object.EncryptedDEKSourceType,
		UID:                                   uid,
		ExpirationTimestamp:                   time.Now().Add(validity),
		CacheKey:                              cacheKey,
	}, nil
}

// NewTransformer makes a transformer with a cold cache that writes with the given state.
func NewTransformer(provider service.Service, providerName string, state kmsv2.State) value.Transformer {
	stateOf := func() (kmsv2.State, error) { return state, nil }
	return kmsv2.NewEnvelopeTransformer(provider, providerName, stateOf, apiServerID)
}

// ObjectContext is the data context of one object: its path in etcd, which its encryption is bound to.
func ObjectContext(index int) value.Context {
	return value.DefaultContext(fmt.Sprintf("/registry/secrets/default/object-%d", index))
}

// ObjectContent is some content for an object, of a common secret's size.
func ObjectContent(index int) []byte {
	return fmt.Appendf(nil, "k8s\x00\n\f\n\x02v1\x12\x06Secret object %d %0400d", index, index)
}
