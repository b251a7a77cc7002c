package reference

import (
	"bytes"
	"maps"
	"testing"

	"k8s.io/kms/pkg/service"
)

func encrypted(t *testing.T, provider *Service, plaintext []byte) *service.DecryptRequest {
	t.Helper()
	answer, err := provider.Encrypt(t.Context(), "uid", plaintext)
	if err != nil {
		t.Fatal(err)
	}
	return &service.DecryptRequest{Ciphertext: answer.Ciphertext, KeyID: answer.KeyID, Annotations: answer.Annotations}
}

func newTestService(t *testing.T) *Service {
	t.Helper()
	provider, err := NewService(0)
	if err != nil {
		t.Fatal(err)
	}
	return provider
}

func TestDecryptGivesBackWhatEncryptTook(t *testing.T) {
	provider := newTestService(t)
	for _, length := range []int{1, 32, maxPlaintextBytes} {
		plaintext := bytes.Repeat([]byte{7}, length)
		request := encrypted(t, provider, plaintext)
		if len(request.Ciphertext) > maxCiphertextBytes {
			t.Errorf("%d bytes become %d", length, len(request.Ciphertext))
		}
		got, err := provider.Decrypt(t.Context(), "another uid", request)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%d bytes: got %d bytes, error %v", length, len(got), err)
		}
	}
}

func TestOldKeysStillDecryptAfterARotation(t *testing.T) {
	provider := newTestService(t)
	before := encrypted(t, provider, []byte("x"))
	if err := provider.Rotate(); err != nil {
		t.Fatal(err)
	}
	if after := encrypted(t, provider, []byte("x")); after.KeyID == before.KeyID {
		t.Error("the key id is the same after a rotation")
	}
	if _, err := provider.Decrypt(t.Context(), "uid", before); err != nil {
		t.Error(err)
	}
}

func TestPartsOfTheAdditionalDataCannotMoveIntoEachOther(t *testing.T) {
	seen := map[string]bool{}
	for _, parts := range []struct {
		keyID       string
		annotations map[string][]byte
	}{
		{"a", nil}, {"ab", nil}, {"a", map[string][]byte{"b": nil}}, {"a", map[string][]byte{"b": []byte("c")}},
		{"a", map[string][]byte{"bc": nil}}, {"a", map[string][]byte{"b": nil, "c": nil}}, {"ab", map[string][]byte{"c": nil}},
	} {
		data := string(additionalData(parts.keyID, parts.annotations))
		if seen[data] {
			t.Errorf("%+v gives the same as another", parts)
		}
		seen[data] = true
	}
}

func TestARefusalSaysNothingOfItsReason(t *testing.T) {
	provider := newTestService(t)
	good := encrypted(t, provider, []byte("x"))
	changed := bytes.Clone(good.Ciphertext)
	changed[0] ^= 1
	annotations := maps.Clone(good.Annotations)
	delete(annotations, formatAnnotation)
	for _, request := range []*service.DecryptRequest{
		{Ciphertext: changed, KeyID: good.KeyID, Annotations: good.Annotations},
		{Ciphertext: good.Ciphertext, KeyID: good.KeyID + "x", Annotations: good.Annotations},
		{Ciphertext: good.Ciphertext, KeyID: good.KeyID, Annotations: annotations},
		{},
	} {
		if _, err := provider.Decrypt(t.Context(), "uid", request); err == nil || err.Error() != errRefused.Error() {
			t.Errorf("got %v", err)
		}
	}
}
