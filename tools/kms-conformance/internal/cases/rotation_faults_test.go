package cases

import (
	"context"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/kms/pkg/service"

	"kms-conformance/internal/reference"
)

func rotationFaults() []brokenProvider {
	return []brokenProvider{
		{
			what: "does not rotate",
			fails: []string{
				"rotation/key-id-changes", "rotation/never-flips-back", "rotation/old-data-decrypts", "rotation/old-data-is-stale",
				"rotation/new-writes-use-new-key",
			},
			serve: func(t *testing.T) testee {
				own := newService(t)
				of := serveReference(t, own, own)
				of.rotate = func(context.Context) error { return nil }
				return of
			},
		},
		afterRotation("says the old key id once more", func(own *reference.Service, old string) *altered {
			var calls atomic.Int64
			return &altered{Service: own, status: func(ctx context.Context) (*service.StatusResponse, error) {
				answer, err := own.Status(ctx)
				if err == nil && calls.Add(1) == 10 {
					answer.KeyID = old
				}
				return answer, err
			}}
		}, "rotation/never-flips-back"),
		afterRotation("forgets the old key", func(own *reference.Service, old string) *altered {
			return &altered{Service: own, decrypt: func(ctx context.Context, uid string, request *service.DecryptRequest) ([]byte, error) {
				if request.KeyID == old {
					return nil, status.Error(codes.InvalidArgument, "unknown key")
				}
				return own.Decrypt(ctx, uid, request)
			}}
		}, "rotation/old-data-decrypts", "rotation/old-data-is-stale"),
		afterRotation("goes on encrypting with the old key", func(own *reference.Service, old string) *altered {
			return rewritten(own, func(_ []byte, answer *service.EncryptResponse) { answer.KeyID = old })
		}, "rotation/new-writes-use-new-key", "rotation/old-data-is-stale"),
	}
}

// afterRotation makes a provider that is good until its key is rotated.
func afterRotation(what string, alter func(own *reference.Service, oldKeyID string) *altered, fails ...string) brokenProvider {
	return brokenProvider{what: what, fails: fails, serve: func(t *testing.T) testee {
		own := newService(t)
		var current atomic.Pointer[altered]
		current.Store(&altered{Service: own})
		of := serveReference(t, own, &altered{
			Service: own,
			status:  func(ctx context.Context) (*service.StatusResponse, error) { return current.Load().Status(ctx) },
			encrypt: func(ctx context.Context, uid string, plaintext []byte) (*service.EncryptResponse, error) {
				return current.Load().Encrypt(ctx, uid, plaintext)
			},
			decrypt: func(ctx context.Context, uid string, request *service.DecryptRequest) ([]byte, error) {
				return current.Load().Decrypt(ctx, uid, request)
			},
		})
		of.rotate = func(ctx context.Context) error {
			before, err := own.Status(ctx)
			if err != nil {
				return err
			}
			current.Store(alter(own, before.KeyID))
			return own.Rotate()
		}
		return of
	}}
}
