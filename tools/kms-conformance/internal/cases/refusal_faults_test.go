package cases

import (
	"context"
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	kmsapi "k8s.io/kms/apis/v2"
	"k8s.io/kms/pkg/service"

	"kms-conformance/internal/conformance"
	"kms-conformance/internal/reference"
)

// alsoFails are cases of other themes that meet what a row changes.
var alsoFails = map[string][]string{
	"changed-bit": {"kube-apiserver/tampered-object", "decrypt/refusals-do-no-harm"},
}

func refusalFaults() []brokenProvider {
	var all []brokenProvider
	for _, row := range refusalRows {
		fails := append([]string{"decrypt/" + row.name, "decrypt/" + row.name + "/code"}, alsoFails[row.name]...)
		all = append(all, serving("decrypts "+row.what, func(own *reference.Service) *altered { return accepting(own, row) }, fails...))
	}
	var codesFail []string
	for _, row := range refusalRows {
		codesFail = append(codesFail, "decrypt/"+row.name+"/code")
	}
	return append(all,
		refusingWith("refuses with INTERNAL", codes.Internal, "no", codesFail...),
		refusingWith("names its backend in refusals", codes.InvalidArgument, "POST https://bao:8200/v1/transit/decrypt/k: 400", "decrypt/refusal-texts"),
		refusingWith("names its key in refusals", codes.InvalidArgument, "key Secret-Key-Name has no version 7", "decrypt/refusal-texts"),
		serving("takes its time for some refusals", func(own *reference.Service) *altered {
			return &altered{Service: own, decrypt: func(ctx context.Context, uid string, request *service.DecryptRequest) ([]byte, error) {
				if len(request.Ciphertext) == 0 && request.KeyID != "" {
					time.Sleep(1200 * time.Millisecond) // It stands for a call to a backend, and waits for nothing.
				}
				return own.Decrypt(ctx, uid, request)
			}}
		}, "decrypt/refusal-time"))
}

func refusingWith(what string, code codes.Code, text string, fails ...string) brokenProvider {
	return serving(what, func(own *reference.Service) *altered {
		return &altered{Service: own, decrypt: func(ctx context.Context, uid string, request *service.DecryptRequest) ([]byte, error) {
			plaintext, err := own.Decrypt(ctx, uid, request)
			if err != nil {
				err = status.Error(code, text)
			}
			return plaintext, err
		}}
	}, fails...)
}

// accepting decrypts what a row changes: it works out, for each Encrypt, what the row would make of it.
func accepting(own *reference.Service, row refusalRow) *altered {
	var taken remembered[[]byte]
	var mutex sync.Mutex
	var last *kmsapi.DecryptRequest
	var lastPlaintext []byte
	learn := func(pair pair, plaintext []byte) {
		for _, variant := range row.variants(pair) {
			taken.put(fingerprint(variant.Ciphertext, variant.KeyId, variant.Annotations), plaintext)
		}
	}
	return &altered{
		Service: own,
		encrypt: func(ctx context.Context, uid string, plaintext []byte) (*service.EncryptResponse, error) {
			answer, err := own.Encrypt(ctx, uid, plaintext)
			if err != nil || len(plaintext) != conformance.SeedBytes {
				return answer, err
			}
			mutex.Lock()
			defer mutex.Unlock()
			next := &kmsapi.DecryptRequest{Ciphertext: answer.Ciphertext, KeyId: answer.KeyID, Annotations: answer.Annotations}
			if last == nil {
				last, lastPlaintext = next, plaintext
			}
			learn(pair{one: last, other: next}, lastPlaintext)
			learn(pair{one: next, other: last}, plaintext)
			last, lastPlaintext = next, plaintext
			return answer, nil
		},
		decrypt: func(ctx context.Context, uid string, request *service.DecryptRequest) ([]byte, error) {
			plaintext, err := own.Decrypt(ctx, uid, request)
			if err == nil {
				return plaintext, nil
			}
			if plaintext, ok := taken.get(fingerprint(request.Ciphertext, request.KeyID, request.Annotations)); ok {
				return plaintext, nil
			}
			return nil, err
		},
	}
}

func TestForbiddenTextsAreFound(t *testing.T) {
	seed := conformance.NewSeed()
	for _, text := range []string{
		"dial tcp 10.0.0.7:443: connection refused", "lookup failed for 10.0.0.7", "dial [::1]", "at fe80::1%eth0", "see https://x", "unix:///run/s",
		"bao.example.com:8200 is sealed", "localhost:8200", "permission denied for Token", "key my-key not found",
		"could not decrypt " + hex.EncodeToString(seed[4:20]), "could not decrypt " + strings.ToUpper(hex.EncodeToString(seed)),
	} {
		if findForbidden(text, seed, []string{"MY-KEY"}) == "" {
			t.Errorf("nothing is found in %q", text)
		}
	}
	for _, text := range []string{
		"", "this was not encrypted here", "unknown key id", "annotations: one is missing", "expected 1 to 1024 bytes, got 2000",
		"code: 3, at 12:30", "version v1.2.3", "key id sha256:0a1b2c",
	} {
		if found := findForbidden(text, seed, []string{"MY-KEY"}); found != "" {
			t.Errorf("%s is found in %q", found, text)
		}
	}
}
