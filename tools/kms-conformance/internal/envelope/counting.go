package envelope

import (
	"context"
	"sync/atomic"

	"k8s.io/kms/pkg/service"
)

// Counting counts the calls that reach a provider.
type Counting struct {
	service.Service
	Encrypts, Decrypts atomic.Int64
}

// Encrypt counts and passes on.
func (c *Counting) Encrypt(ctx context.Context, uid string, data []byte) (*service.EncryptResponse, error) {
	c.Encrypts.Add(1)
	return c.Service.Encrypt(ctx, uid, data)
}

// Decrypt counts and passes on.
func (c *Counting) Decrypt(ctx context.Context, uid string, request *service.DecryptRequest) ([]byte, error) {
	c.Decrypts.Add(1)
	return c.Service.Decrypt(ctx, uid, request)
}
