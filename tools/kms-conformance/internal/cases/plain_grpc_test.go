package cases

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/kms/pkg/service"

	"kms-conformance/internal/conformance"
	"kms-conformance/internal/provider"
)

// strictOfGRPC are the strict cases that grpc-go fails as it is, whatever the provider's own code does. README names all but the first.
var strictOfGRPC = []string{
	"grpc/compressed-message/code", // Only since a package of this process registers gzip.
	"grpc/two-messages",
	"grpc/one-message-and-a-part",
	"http2/keepalive-pings",
	"http2/large-header-list",
}

func TestAProviderOnTheServerOfKubernetesPassesSpec(t *testing.T) {
	folder, err := os.MkdirTemp("", "kms-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	own := newService(t)
	path := filepath.Join(folder, "s")
	plain := service.NewGRPCService(path, 10*time.Second, own)
	served := make(chan error, 1)
	go func() { served <- plain.ListenAndServe() }()
	if err := provider.AwaitListener(t.Context(), path, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		plain.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	report := runAll(t, testee{socketPath: path, rotate: func(context.Context) error { return own.Rotate() }})
	expectFailures(t, report, strictOfGRPC)
	for _, result := range report.Results {
		if result.Outcome == conformance.Failed && result.Profile == conformance.Spec {
			t.Errorf("%s is of the profile spec", result.ID)
		}
	}
}
