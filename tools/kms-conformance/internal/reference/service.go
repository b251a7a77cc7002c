package reference

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	"k8s.io/kms/pkg/service"
)

const (
	nonceBytes = 12
	tagBytes   = 16
	// maxCiphertextBytes is the limit that kube-apiserver sets for an encrypted DEK source.
	maxCiphertextBytes = 1024
	maxPlaintextBytes  = maxCiphertextBytes - nonceBytes - tagBytes

	// formatAnnotation and boundAnnotation are what each of our ciphertexts comes with: a constant, and random bytes that
	// pair the annotations with the one ciphertext they were made for.
	formatAnnotation      = "format.reference.kms-conformance.example"
	boundAnnotation       = "bound.reference.kms-conformance.example"
	formatAnnotationValue = "1"
	boundAnnotationBytes  = 16
)

// errRefused is the one answer to whatever cannot be decrypted: it does not say which check failed.
var errRefused = status.Error(codes.InvalidArgument, "this was not encrypted here")

// Service is the provider without its server.
type Service struct {
	keys *keyring
	// delay stands for the way to a remote key service. It is added to Encrypt and to Decrypts that pass the checks.
	delay time.Duration
}

var _ service.Service = (*Service)(nil)

// NewService makes a provider with one fresh key.
func NewService(delay time.Duration) (*Service, error) {
	keys, err := newKeyring()
	if err != nil {
		return nil, err
	}
	return &Service{keys: keys, delay: delay}, nil
}

// Rotate makes a new key the current one.
func (s *Service) Rotate() error { return s.keys.rotate() }

// Status answers at once, from memory.
func (s *Service) Status(context.Context) (*service.StatusResponse, error) {
	return &service.StatusResponse{Version: kmsv2.KMSAPIVersionv2, Healthz: "ok", KeyID: s.keys.writeKey().id}, nil
}

// Encrypt writes nonce (12) ‖ ciphertext (as long as the plaintext, 1…996) ‖ tag (16).
func (s *Service) Encrypt(ctx context.Context, _ string, plaintext []byte) (*service.EncryptResponse, error) {
	if len(plaintext) == 0 || len(plaintext) > maxPlaintextBytes {
		return nil, status.Errorf(codes.InvalidArgument, "a plaintext has 1 to %d bytes, not %d", maxPlaintextBytes, len(plaintext))
	}
	if err := wait(ctx, s.delay); err != nil {
		return nil, err
	}
	random := make([]byte, nonceBytes+boundAnnotationBytes)
	if _, err := rand.Read(random); err != nil {
		return nil, status.Error(codes.Internal, "no random bytes")
	}
	nonce, bound := random[:nonceBytes:nonceBytes], random[nonceBytes:]
	annotations := map[string][]byte{formatAnnotation: []byte(formatAnnotationValue), boundAnnotation: bound}
	current := s.keys.writeKey()
	return &service.EncryptResponse{
		Ciphertext:  current.aead.Seal(nonce, nonce, plaintext, additionalData(current.id, annotations)),
		KeyID:       current.id,
		Annotations: annotations,
	}, nil
}

// Decrypt opens what Encrypt wrote, if not one bit of it, of its key id or of its annotations was changed.
func (s *Service) Decrypt(ctx context.Context, _ string, request *service.DecryptRequest) ([]byte, error) {
	key, known := s.keys.find(request.KeyID)
	if !known || !isOurLayout(request) {
		return nil, errRefused
	}
	if err := wait(ctx, s.delay); err != nil {
		return nil, err
	}
	nonce, sealed := request.Ciphertext[:nonceBytes], request.Ciphertext[nonceBytes:]
	plaintext, err := key.aead.Open(nil, nonce, sealed, additionalData(request.KeyID, request.Annotations))
	if err != nil {
		return nil, errRefused
	}
	return plaintext, nil
}

func isOurLayout(request *service.DecryptRequest) bool {
	length := len(request.Ciphertext)
	return length > nonceBytes+tagBytes && length <= maxCiphertextBytes &&
		len(request.Annotations) == 2 &&
		string(request.Annotations[formatAnnotation]) == formatAnnotationValue &&
		len(request.Annotations[boundAnnotation]) == boundAnnotationBytes
}

// additionalData puts a length before each part, so that no two sets of parts give the same bytes.
func additionalData(keyID string, annotations map[string][]byte) []byte {
	names := make([]string, 0, len(annotations))
	for name := range annotations {
		names = append(names, name)
	}
	slices.Sort(names)
	data := appendPart(nil, []byte(keyID))
	for _, name := range names {
		data = appendPart(data, []byte(name))
		data = appendPart(data, annotations[name])
	}
	return data
}

func appendPart(data, part []byte) []byte {
	return append(binary.BigEndian.AppendUint32(data, uint32(len(part))), part...)
}

func wait(ctx context.Context, delay time.Duration) error {
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	// gRPC gives the handler an expired deadline without further ado.
	if err := ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	return nil
}
