package cases

import (
	"bytes"
	"context"
	"crypto/sha256"
	"maps"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/kms/pkg/service"

	"kms-conformance/internal/reference"
)

// altered is the reference provider with some calls changed. Each may call the true one by its embedded service.
type altered struct {
	*reference.Service
	status  func(ctx context.Context) (*service.StatusResponse, error)
	encrypt func(ctx context.Context, uid string, plaintext []byte) (*service.EncryptResponse, error)
	decrypt func(ctx context.Context, uid string, request *service.DecryptRequest) ([]byte, error)
}

func (a *altered) Status(ctx context.Context) (*service.StatusResponse, error) {
	if a.status != nil {
		return a.status(ctx)
	}
	return a.Service.Status(ctx)
}

func (a *altered) Encrypt(ctx context.Context, uid string, plaintext []byte) (*service.EncryptResponse, error) {
	if a.encrypt != nil {
		return a.encrypt(ctx, uid, plaintext)
	}
	return a.Service.Encrypt(ctx, uid, plaintext)
}

func (a *altered) Decrypt(ctx context.Context, uid string, request *service.DecryptRequest) ([]byte, error) {
	if a.decrypt != nil {
		return a.decrypt(ctx, uid, request)
	}
	return a.Service.Decrypt(ctx, uid, request)
}

// rewritten has Encrypt's answers changed on the way out, and changed back on the way in where they are exactly the same.
// Their unchanged form is refused, since nobody was given it.
func rewritten(own *reference.Service, change func(plaintext []byte, answer *service.EncryptResponse)) *altered {
	var memory remembered[*service.EncryptResponse]
	var kept remembered[bool]
	return &altered{
		Service: own,
		encrypt: func(ctx context.Context, uid string, plaintext []byte) (*service.EncryptResponse, error) {
			answer, err := own.Encrypt(ctx, uid, plaintext)
			if err != nil {
				return nil, err
			}
			changed := &service.EncryptResponse{
				Ciphertext: bytes.Clone(answer.Ciphertext), KeyID: answer.KeyID, Annotations: maps.Clone(answer.Annotations),
			}
			change(plaintext, changed)
			kept.put(fingerprint(answer.Ciphertext, answer.KeyID, answer.Annotations), true)
			memory.put(fingerprint(changed.Ciphertext, changed.KeyID, changed.Annotations), answer)
			return changed, nil
		},
		decrypt: func(ctx context.Context, uid string, request *service.DecryptRequest) ([]byte, error) {
			name := fingerprint(request.Ciphertext, request.KeyID, request.Annotations)
			if answer, ok := memory.get(name); ok {
				request = &service.DecryptRequest{Ciphertext: answer.Ciphertext, KeyID: answer.KeyID, Annotations: answer.Annotations}
			} else if _, ok := kept.get(name); ok {
				return nil, status.Error(codes.InvalidArgument, "this was given to nobody")
			}
			return own.Decrypt(ctx, uid, request)
		},
	}
}

// remembered is a map for use by many calls at once.
type remembered[Value any] struct {
	mutex  sync.Mutex
	values map[string]Value
}

func (r *remembered[Value]) put(key string, value Value) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.values == nil {
		r.values = map[string]Value{}
	}
	r.values[key] = value
}

func (r *remembered[Value]) get(key string) (Value, bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	value, ok := r.values[key]
	return value, ok
}

// fingerprint tells requests apart, whatever their uid.
func fingerprint(ciphertext []byte, keyID string, annotations map[string][]byte) string {
	digest := sha256.New()
	part := func(content []byte) {
		sum := sha256.Sum256(content)
		digest.Write(sum[:])
	}
	part(ciphertext)
	part([]byte(keyID))
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		part([]byte(name))
		part(annotations[name])
	}
	return string(digest.Sum(nil))
}
