package cases

import (
	"bytes"
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/kms/pkg/service"

	"kms-conformance/internal/conformance"
	"kms-conformance/internal/reference"
)

// kubeAPIServerRefuses are the cases that need an Encrypt which kube-apiserver takes.
var kubeAPIServerRefuses = []string{
	"kube-apiserver/encryption-configuration", "kube-apiserver/objects", "kube-apiserver/restart", "kube-apiserver/many-seeds",
	"kube-apiserver/plain-dek", "kube-apiserver/tampered-object",
	"rotation/key-id-changes", "rotation/never-flips-back", "rotation/old-data-decrypts", "rotation/old-data-is-stale",
	"rotation/new-writes-use-new-key",
}

const healthCheck = "kube-apiserver/encryption-configuration"

// serving makes a broken provider of a service that alters the reference's.
func serving(what string, alter func(own *reference.Service) *altered, fails ...string) brokenProvider {
	return brokenProvider{what: what, fails: fails, serve: func(t *testing.T) testee {
		own := newService(t)
		return serveReference(t, own, alter(own))
	}}
}

func serviceFaults() []brokenProvider {
	return slices.Concat(statusFaults(), encryptFaults(), uidFaults(), decryptFaults())
}

// withStatus changes each answer to Status; call counts from 1.
func withStatus(change func(call int64, answer *service.StatusResponse)) func(own *reference.Service) *altered {
	return func(own *reference.Service) *altered {
		var calls atomic.Int64
		return &altered{Service: own, status: func(ctx context.Context) (*service.StatusResponse, error) {
			answer, err := own.Status(ctx)
			if err == nil {
				change(calls.Add(1), answer)
			}
			return answer, err
		}}
	}
}

func statusFaults() []brokenProvider {
	return []brokenProvider{
		serving("says version v2beta1", withStatus(func(_ int64, answer *service.StatusResponse) { answer.Version = "v2beta1" }),
			"status/version-is-stable-api"),
		serving("says version v1", withStatus(func(_ int64, answer *service.StatusResponse) { answer.Version = "v1" }),
			"status/version", "status/version-is-stable-api", healthCheck),
		serving("is not healthy", withStatus(func(_ int64, answer *service.StatusResponse) { answer.Healthz = "no" }),
			"status/healthz", healthCheck, "decrypt/refusals-do-no-harm"),
		serving("says an over-long key id", withStatus(func(_ int64, answer *service.StatusResponse) { answer.KeyID += strings.Repeat("k", 1024) }),
			"status/key-id-length", "encrypt/key-id-matches-status", healthCheck, "rotation/new-writes-use-new-key"),
		serving("says another key id once", withStatus(func(call int64, answer *service.StatusResponse) {
			if call == 50 {
				answer.KeyID += "x"
			}
		}), "status/key-id-stable"),
		serving("answers 64 Status calls at once and no more", func(own *reference.Service) *altered {
			var underWay atomic.Int64
			return &altered{Service: own, status: func(ctx context.Context) (*service.StatusResponse, error) {
				defer underWay.Add(-1)
				if underWay.Add(1) > 64 {
					return nil, status.Error(codes.ResourceExhausted, "too many calls")
				}
				time.Sleep(20 * time.Millisecond) // It stands for slow work, and waits for nothing.
				return own.Status(ctx)
			}}
		}, "status/concurrent"),
	}
}

func encryptFaults() []brokenProvider {
	changing := func(what string, change func(plaintext []byte, answer *service.EncryptResponse), fails ...string) brokenProvider {
		return serving(what, func(own *reference.Service) *altered { return rewritten(own, change) }, fails...)
	}
	// refusing refuses some plaintexts.
	refusing := func(what string, refuses func(plaintext []byte) bool, fails ...string) brokenProvider {
		return serving(what, func(own *reference.Service) *altered {
			return &altered{Service: own, encrypt: func(ctx context.Context, uid string, plaintext []byte) (*service.EncryptResponse, error) {
				if refuses(plaintext) {
					return nil, status.Error(codes.InvalidArgument, "not this one")
				}
				return own.Encrypt(ctx, uid, plaintext)
			}}
		}, fails...)
	}
	// taking answers what the reference refuses.
	taking := func(what string, takes func(plaintext []byte) bool, fails ...string) brokenProvider {
		return serving(what, func(own *reference.Service) *altered {
			return &altered{Service: own, encrypt: func(ctx context.Context, uid string, plaintext []byte) (*service.EncryptResponse, error) {
				if takes(plaintext) {
					plaintext = []byte{0}
				}
				return own.Encrypt(ctx, uid, plaintext)
			}}
		}, fails...)
	}
	return []brokenProvider{
		refusing("encrypts nothing", func([]byte) bool { return true }, allButStatusAndFraming()...),
		changing("writes another key id than Status says", func(_ []byte, answer *service.EncryptResponse) { answer.KeyID += "x" },
			"encrypt/key-id-matches-status", healthCheck, "rotation/new-writes-use-new-key"),
		changing("writes over-long ciphertexts",
			func(_ []byte, answer *service.EncryptResponse) {
				answer.Ciphertext = append(answer.Ciphertext, make([]byte, 1024)...)
			},
			append([]string{"encrypt/ciphertext-length"}, kubeAPIServerRefuses...)...),
		changing("writes annotations without a domain",
			func(_ []byte, answer *service.EncryptResponse) { answer.Annotations["version"] = []byte("1") },
			append([]string{"encrypt/annotation-names"}, kubeAPIServerRefuses...)...),
		changing("writes over-long annotations",
			func(_ []byte, answer *service.EncryptResponse) {
				answer.Annotations["large.kms.example"] = make([]byte, 33<<10)
			},
			append([]string{"encrypt/annotations-length"}, kubeAPIServerRefuses...)...),
		changing("writes the plaintext into an annotation", func(plaintext []byte, answer *service.EncryptResponse) {
			answer.Annotations["plain.kms.example"] = []byte(base64.StdEncoding.EncodeToString(plaintext))
		}, "encrypt/plaintext-hidden"),
		refusing("refuses zeros", func(plaintext []byte) bool { return len(plaintext) > 1 && len(bytes.Trim(plaintext, "\x00")) == 0 }, "encrypt/any-bytes"),
		refusing("refuses 17 bytes", func(plaintext []byte) bool { return len(plaintext) == 17 }, "encrypt/sizes"),
		taking("takes an empty plaintext", func(plaintext []byte) bool { return len(plaintext) == 0 }, "encrypt/empty-plaintext"),
		taking("takes any plaintext", func(plaintext []byte) bool { return len(plaintext) > 1024 }, "encrypt/oversize-plaintext"),
		serving("mixes up answers under load", func(own *reference.Service) *altered {
			var underWay atomic.Int64
			return &altered{Service: own, encrypt: func(ctx context.Context, uid string, plaintext []byte) (*service.EncryptResponse, error) {
				defer underWay.Add(-1)
				if underWay.Add(1) > 64 {
					plaintext = slices.Repeat([]byte("another's"), 4)
				}
				time.Sleep(5 * time.Millisecond) // It stands for slow work, and waits for nothing.
				return own.Encrypt(ctx, uid, plaintext)
			}}
		}, "encrypt/concurrent"),
		serving("encrypts one plaintext to one ciphertext", func(own *reference.Service) *altered {
			var memory remembered[*service.EncryptResponse]
			return &altered{Service: own, encrypt: func(ctx context.Context, uid string, plaintext []byte) (*service.EncryptResponse, error) {
				if answer, ok := memory.get(string(plaintext)); ok {
					return answer, nil
				}
				answer, err := own.Encrypt(ctx, uid, plaintext)
				if err == nil {
					memory.put(string(plaintext), answer)
				}
				return answer, err
			}}
		}, "encrypt/different-each-time"),
	}
}

// allButStatusAndFraming are the cases that a provider fails whose Encrypt answers nothing.
func allButStatusAndFraming() (ids []string) {
	for _, one := range All() {
		if !strings.HasPrefix(one.ID, "status/") {
			ids = append(ids, one.ID)
		}
	}
	return ids
}

func uidFaults() []brokenProvider {
	refusing := func(what string, code codes.Code, refuses func(uid string) bool, fails ...string) brokenProvider {
		return serving(what, func(own *reference.Service) *altered {
			return &altered{Service: own, encrypt: func(ctx context.Context, uid string, plaintext []byte) (*service.EncryptResponse, error) {
				if refuses(uid) {
					return nil, status.Error(code, "not under this uid")
				}
				return own.Encrypt(ctx, uid, plaintext)
			}}
		}, fails...)
	}
	isControl := func(uid string) bool { return strings.ContainsFunc(uid, unicode.IsControl) }
	isForeign := func(uid string) bool {
		return strings.ContainsFunc(uid, func(r rune) bool { return r > unicode.MaxASCII })
	}
	return []brokenProvider{
		refusing("refuses an empty uid", codes.InvalidArgument, func(uid string) bool { return uid == "" }, "uid/empty"),
		refusing("refuses a uid that is not ASCII", codes.InvalidArgument, func(uid string) bool { return isForeign(uid) && !isControl(uid) }, "uid/unicode"),
		refusing("refuses a uid of 256 bytes", codes.InvalidArgument, func(uid string) bool { return len(uid) == 256 }, "uid/long"),
		refusing("fails on control characters", codes.Internal, isControl, "uid/control-characters"),
		{what: "fails on a uid of 1 MB", fails: []string{"uid/one-megabyte"}, serve: func(t *testing.T) testee {
			own := newService(t)
			return serveReference(t, own, &altered{Service: own, encrypt: func(ctx context.Context, uid string, plaintext []byte) (*service.EncryptResponse, error) {
				if len(uid) > 1000 {
					return nil, status.Error(codes.Internal, "out of memory")
				}
				return own.Encrypt(ctx, uid, plaintext)
			}}, grpc.MaxRecvMsgSize(32<<20))
		}},
		serving("binds a ciphertext to the uid that it was first decrypted under", func(own *reference.Service) *altered {
			var uids remembered[string]
			return &altered{Service: own, decrypt: func(ctx context.Context, uid string, request *service.DecryptRequest) ([]byte, error) {
				name := fingerprint(request.Ciphertext, request.KeyID, request.Annotations)
				if first, ok := uids.get(name); ok && first != uid {
					return nil, status.Error(codes.InvalidArgument, "another uid")
				}
				uids.put(name, uid)
				return own.Decrypt(ctx, uid, request)
			}}
		}, "uid/not-bound", "uid/empty", "uid/unicode", "uid/long"),
	}
}

func decryptFaults() []brokenProvider {
	return []brokenProvider{
		serving("decrypts the same 30 times and no more", func(own *reference.Service) *altered {
			var times remembered[int]
			return &altered{Service: own, decrypt: func(ctx context.Context, uid string, request *service.DecryptRequest) ([]byte, error) {
				plaintext, err := own.Decrypt(ctx, uid, request)
				if err != nil {
					return nil, err
				}
				before, _ := times.get(string(request.Ciphertext))
				times.put(string(request.Ciphertext), before+1)
				if before >= 30 {
					return nil, status.Error(codes.InvalidArgument, "once too often")
				}
				return plaintext, nil
			}}
		}, "decrypt/again-and-again"),
		serving("remembers the last 45 ciphertexts only", func(own *reference.Service) *altered {
			var made atomic.Int64
			var numbers remembered[int64]
			return &altered{
				Service: own,
				encrypt: func(ctx context.Context, uid string, plaintext []byte) (*service.EncryptResponse, error) {
					answer, err := own.Encrypt(ctx, uid, plaintext)
					if err == nil && isOrdinaryCall(ctx) {
						numbers.put(string(answer.Ciphertext), made.Add(1))
					}
					return answer, err
				},
				decrypt: func(ctx context.Context, uid string, request *service.DecryptRequest) ([]byte, error) {
					if number, ok := numbers.get(string(request.Ciphertext)); ok && number <= made.Load()-45 {
						return nil, status.Error(codes.InvalidArgument, "too old")
					}
					return own.Decrypt(ctx, uid, request)
				},
			}
		}, "decrypt/out-of-order", "encrypt/concurrent", "kube-apiserver/many-seeds"),
		serving("gives up for a while after 800 refusals in a row", func(own *reference.Service) *altered {
			var refusals atomic.Int64
			return &altered{Service: own, decrypt: func(ctx context.Context, uid string, request *service.DecryptRequest) ([]byte, error) {
				if refusals.Load() > 800 {
					refusals.Store(0)
					return nil, status.Error(codes.Unavailable, "too many refusals")
				}
				plaintext, err := own.Decrypt(ctx, uid, request)
				if err != nil {
					refusals.Add(1)
				} else {
					refusals.Store(0)
				}
				return plaintext, err
			}}
		}, "decrypt/refusals-do-no-harm"),
	}
}

func TestASampleIsNotTakenFromAProviderThatForgets(t *testing.T) {
	own := newService(t)
	of := serveReference(t, own, &altered{Service: own, decrypt: func(context.Context, string, *service.DecryptRequest) ([]byte, error) {
		return make([]byte, conformance.SeedBytes), nil
	}})
	report := runAll(t, of)
	for _, result := range report.Results {
		if strings.HasPrefix(result.ID, "decrypt/") && result.Outcome != conformance.Failed {
			t.Errorf("%s %s, though Decrypt gives back zeros", result.ID, result.Outcome)
		}
	}
}
