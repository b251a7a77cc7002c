package load

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	kmsapi "k8s.io/kms/apis/v2"
)

// seedBytes is the length of the DEK seeds that kube-apiserver has encrypted.
const seedBytes = 32

// uid is as long as those that kube-apiserver sends.
const uid = "00000000-0000-0000-0000-000000000000"

// Operation names what a caller does again and again.
type Operation string

// The operations. BadDecrypt sends a ciphertext with one changed bit, and expects a refusal.
const (
	Encrypt    Operation = "encrypt"
	Decrypt    Operation = "decrypt"
	Status     Operation = "status"
	BadDecrypt Operation = "bad-decrypt"
)

// Operations lists all, in the order in which a mixed load cycles through them.
var Operations = []Operation{Encrypt, Decrypt, Status, BadDecrypt}

// answer is what one call came to.
type answer struct {
	code codes.Code
	// wrong says why the answer is not the right one; nil if it is.
	wrong error
}

// sample is one pair that the provider made, to decrypt again and again.
type sample struct {
	plaintext []byte
	good      *kmsapi.DecryptRequest
	bad       *kmsapi.DecryptRequest
}

func takeSample(ctx context.Context, client kmsapi.KeyManagementServiceClient) (*sample, error) {
	plaintext := make([]byte, seedBytes)
	if _, err := rand.Read(plaintext); err != nil {
		return nil, err
	}
	encrypted, err := client.Encrypt(ctx, &kmsapi.EncryptRequest{Plaintext: plaintext, Uid: uid})
	if err != nil {
		return nil, fmt.Errorf("the first Encrypt failed: %w", err)
	}
	if len(encrypted.Ciphertext) == 0 {
		return nil, fmt.Errorf("the first Encrypt gave an empty ciphertext")
	}
	changed := bytes.Clone(encrypted.Ciphertext)
	changed[len(changed)-1] ^= 1
	request := func(ciphertext []byte) *kmsapi.DecryptRequest {
		return &kmsapi.DecryptRequest{Ciphertext: ciphertext, Uid: uid, KeyId: encrypted.KeyId, Annotations: encrypted.Annotations}
	}
	return &sample{plaintext: plaintext, good: request(encrypted.Ciphertext), bad: request(changed)}, nil
}

// call makes one call of an operation and judges the answer.
func (s *sample) call(ctx context.Context, client kmsapi.KeyManagementServiceClient, operation Operation) answer {
	switch operation {
	case Encrypt:
		response, err := client.Encrypt(ctx, &kmsapi.EncryptRequest{Plaintext: s.plaintext, Uid: uid})
		return judge(err, func() error { return expect(len(response.Ciphertext) > 0 && response.KeyId != "", "an empty field") })
	case Decrypt:
		response, err := client.Decrypt(ctx, s.good)
		return judge(err, func() error { return expect(bytes.Equal(response.Plaintext, s.plaintext), "another plaintext") })
	case Status:
		response, err := client.Status(ctx, &kmsapi.StatusRequest{})
		return judge(err, func() error { return expect(response.Healthz == "ok" && response.KeyId != "", "not healthy") })
	case BadDecrypt:
		_, err := client.Decrypt(ctx, s.bad)
		return judgeRefusal(err)
	default:
		return answer{wrong: fmt.Errorf("unknown operation %q", operation)}
	}
}

func judge(err error, check func() error) answer {
	if err != nil {
		return answer{code: status.Code(err), wrong: err}
	}
	return answer{code: codes.OK, wrong: check()}
}

// judgeRefusal takes the codes that say "no" for a refusal, and those that say "not now" for a failure.
func judgeRefusal(err error) answer {
	code := status.Code(err)
	switch code {
	case codes.OK:
		return answer{code: code, wrong: fmt.Errorf("a changed ciphertext was decrypted")}
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unimplemented, codes.ResourceExhausted:
		return answer{code: code, wrong: err}
	default:
		return answer{code: code}
	}
}

func expect(holds bool, otherwise string) error {
	if holds {
		return nil
	}
	return fmt.Errorf("the answer has %s", otherwise)
}
