package provider

import (
	"context"
	"net/url"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	"k8s.io/klog/v2"
	"k8s.io/kms/pkg/service"
)

// Endpoint writes a socket path as kube-apiserver's encryption configuration names it.
func Endpoint(socketPath string) string {
	return (&url.URL{Scheme: "unix", Path: socketPath}).String()
}

// KubeAPIServerClient is the client that kube-apiserver itself uses. It is closed when ctx ends.
func KubeAPIServerClient(ctx context.Context, socketPath, providerName string, timeout time.Duration) (service.Service, error) {
	return kmsv2.NewGRPCService(ctx, Endpoint(socketPath), providerName, timeout)
}

// SilenceKubeAPIServer drops what kube-apiserver's packages log: the kit reports failures itself, and provokes many.
func SilenceKubeAPIServer() {
	klog.SetLogger(logr.Discard())
}
