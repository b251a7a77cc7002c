package storedobject

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	mathrand "math/rand/v2"

	"k8s.io/kms/pkg/service"
)

// source names what made every vector. The version is that of go.mod; a test compares them.
const source = "k8s.io/apiserver v0.36.3"

// errNotAsked is what a provider answers that must not be asked.
var errNotAsked = errors.New("the provider was asked")

// fixedProvider gives the one answer that a vector shows, and remembers the seed it took.
type fixedProvider struct {
	service.Service
	answer *service.EncryptResponse
	seed   []byte
}

func (p *fixedProvider) Encrypt(_ context.Context, _ string, seed []byte) (*service.EncryptResponse, error) {
	p.seed = seed
	return p.answer, nil
}

func (p *fixedProvider) Decrypt(_ context.Context, _ string, _ *service.DecryptRequest) ([]byte, error) {
	if p.seed == nil {
		return nil, errNotAsked
	}
	return p.seed, nil
}

// withRandomOf has kube-apiserver's code draw its random bytes from a label, so that each run makes the same vectors.
// It changes crypto/rand for the whole process meanwhile: nothing else may run.
func withRandomOf(label string, run func() error) error {
	before := rand.Reader
	defer func() { rand.Reader = before }()
	rand.Reader = mathrand.NewChaCha8(sha256.Sum256([]byte("kms-conformance vectors: " + label)))
	return run()
}

// fixedBytes stands for what a provider or a user made up.
func fixedBytes(label string, length int) []byte {
	content := make([]byte, length)
	// ChaCha8.Read never fails.
	_, _ = mathrand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "kms-conformance bytes: %s", label))).Read(content)
	return content
}
