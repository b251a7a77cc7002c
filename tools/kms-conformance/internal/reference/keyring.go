// Package reference is a small, strict KMS v2 provider: AES-256-GCM under a key that is held in memory and gone with the
// process. It is the peer for benchmarks, and the provider that the kit's own tests run against. It guards nothing.
package reference

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
)

// keyBytes is the length of an AES-256 key.
const keyBytes = 32

type key struct {
	id   string
	aead cipher.AEAD
}

// keyring holds the current key and, for reading, all before it.
type keyring struct {
	mutex   sync.RWMutex
	current key
	byID    map[string]key
}

func newKeyring() (*keyring, error) {
	ring := &keyring{byID: map[string]key{}}
	return ring, ring.rotate()
}

// rotate makes a new key the current one. Older keys go on opening what they closed.
func (r *keyring) rotate() error {
	next, err := newKey()
	if err != nil {
		return err
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.current = next
	r.byID[next.id] = next
	return nil
}

func (r *keyring) writeKey() key {
	r.mutex.RLock()
	defer r.mutex.RUnlock()
	return r.current
}

func (r *keyring) find(id string) (key, bool) {
	r.mutex.RLock()
	defer r.mutex.RUnlock()
	found, ok := r.byID[id]
	return found, ok
}

func newKey() (key, error) {
	secret := make([]byte, keyBytes)
	if _, err := rand.Read(secret); err != nil {
		return key{}, fmt.Errorf("no random bytes for a key: %w", err)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return key{}, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return key{}, err
	}
	digest := sha256.Sum256(secret)
	return key{id: "reference-" + hex.EncodeToString(digest[:8]), aead: aead}, nil
}
