package cases

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"

	"kms-conformance/internal/conformance"
	"kms-conformance/internal/envelope"
	"kms-conformance/internal/provider"
)

// storagePrefix is what kube-apiserver writes before each encrypted object.
const storagePrefix = "k8s:enc:kms:v2:" + providerName + ":"

// configurationFor is an EncryptionConfiguration. JSON is YAML, and needs no quoting rules for the socket's path.
func configurationFor(socketPath string, timeout time.Duration) ([]byte, error) {
	type object = map[string]any
	return json.Marshal(object{
		"apiVersion": "apiserver.config.k8s.io/v1",
		"kind":       "EncryptionConfiguration",
		"resources": []object{{
			"resources": []string{"secrets"},
			"providers": []object{{"kms": object{
				"apiVersion": "v2", "name": providerName, "endpoint": provider.Endpoint(socketPath), "timeout": timeout.String(),
			}}},
		}},
	})
}

func testEncryptionConfiguration(ctx context.Context, bench *conformance.Bench) error {
	// The loader polls Status until its context ends.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	folder, err := os.MkdirTemp("", "kms-conformance-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }() // A file that is left behind holds nothing secret.
	content, err := configurationFor(bench.SocketPath, bench.CallTimeout)
	if err != nil {
		return err
	}
	file := filepath.Join(folder, "encryption-configuration.yaml")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return err
	}
	loaded, err := encryptionconfig.LoadEncryptionConfig(ctx, file, false, "kms-conformance")
	if err != nil {
		return conformance.Fail("kube-apiserver starts with the provider", "%v", err)
	}
	return useConfiguration(ctx, loaded)
}

func useConfiguration(ctx context.Context, loaded *encryptionconfig.EncryptionConfiguration) error {
	if len(loaded.HealthChecks) == 0 {
		return conformance.Fail("a health check for the provider", "none")
	}
	for _, check := range loaded.HealthChecks {
		if err := check.Check(httptest.NewRequestWithContext(ctx, "GET", "/healthz", nil)); err != nil {
			return conformance.Fail("kube-apiserver finds the provider healthy", "%v", err)
		}
	}
	transformer, ok := loaded.Transformers[schema.GroupResource{Resource: "secrets"}]
	if !ok {
		return conformance.Fail("a transformer for secrets", "none")
	}
	object, err := transformer.TransformToStorage(ctx, envelope.ObjectContent(1), envelope.ObjectContext(1))
	if err != nil {
		return conformance.Fail("kube-apiserver writes a secret", "%v", err)
	}
	if !bytes.HasPrefix(object, []byte(storagePrefix)) {
		return conformance.Fail("an object that begins with "+storagePrefix, "%q…", object[:min(len(object), len(storagePrefix))])
	}
	read, stale, err := transformer.TransformFromStorage(ctx, object, envelope.ObjectContext(1))
	if err != nil || stale || !bytes.Equal(read, envelope.ObjectContent(1)) {
		return conformance.Fail("kube-apiserver reads the secret back", "error %v, stale %t, %d bytes", err, stale, len(read))
	}
	return nil
}
