package conformance

import (
	"bytes"
	"context"
	"crypto/rand"

	"k8s.io/apimachinery/pkg/util/uuid"
	kmsapi "k8s.io/kms/apis/v2"
)

// SeedBytes is the length of the DEK seeds that kube-apiserver has encrypted.
const SeedBytes = 32

// NewUID gives a uid as kube-apiserver makes them.
func NewUID() string { return string(uuid.NewUUID()) }

// NewSeed gives random bytes as kube-apiserver sends them.
func NewSeed() []byte {
	seed := make([]byte, SeedBytes)
	_, _ = rand.Read(seed) // It never fails: crypto/rand ends the process instead.
	return seed
}

// Sample is a plaintext and the Decrypt request that was seen to give it back.
type Sample struct {
	Plaintext []byte
	Request   *kmsapi.DecryptRequest
}

// RoundTrip encrypts a plaintext, decrypts the answer and compares.
func (c *Client) RoundTrip(ctx context.Context, plaintext []byte, uid string) (*Sample, error) {
	encrypted, err := c.Encrypt(ctx, plaintext, uid)
	if err != nil {
		return nil, Fail("Encrypt answers", "%v", err)
	}
	sample := &Sample{Plaintext: plaintext, Request: DecryptRequestFor(encrypted)}
	return sample, c.Verify(ctx, sample)
}

// Sample encrypts a fresh seed and sees it decrypted.
func (c *Client) Sample(ctx context.Context) (*Sample, error) {
	return c.RoundTrip(ctx, NewSeed(), NewUID())
}

// Verify sees that a sample still decrypts to its plaintext.
func (c *Client) Verify(ctx context.Context, sample *Sample) error {
	decrypted, err := c.Decrypt(ctx, sample.Request)
	if err != nil {
		return Fail("Decrypt gives back what was encrypted", "%v", err)
	}
	if !bytes.Equal(decrypted.Plaintext, sample.Plaintext) {
		return Fail("Decrypt gives back what was encrypted", "%d bytes that differ from the %d encrypted",
			len(decrypted.Plaintext), len(sample.Plaintext))
	}
	return nil
}

// DecryptRequestFor turns the answer to an Encrypt into a Decrypt, under a uid of its own as kube-apiserver does.
func DecryptRequestFor(encrypted *kmsapi.EncryptResponse) *kmsapi.DecryptRequest {
	return &kmsapi.DecryptRequest{
		Ciphertext: encrypted.Ciphertext, Uid: NewUID(), KeyId: encrypted.KeyId, Annotations: encrypted.Annotations,
	}
}
