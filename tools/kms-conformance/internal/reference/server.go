package reference

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	kmsapi "k8s.io/kms/apis/v2"
	"k8s.io/kms/pkg/service"
)

const (
	// maxRequestBytes leaves room for the largest Decrypt that kube-apiserver can send: 1 KiB of ciphertext, 1 KiB of key id
	// and 32 KiB of annotations.
	maxRequestBytes = 256 << 10
	// maxHeaderListBytes is far above the few hundred bytes of a real call.
	maxHeaderListBytes = 16 << 10
	// minPingInterval lets a client's keepalive pass. gRPC's own default, five minutes, ends such connections.
	minPingInterval = 10 * time.Millisecond
	// setupTimeout ends a connection that does not become HTTP/2.
	setupTimeout = 10 * time.Second
)

// Server answers KMS v2 calls by a [service.Service].
type Server struct {
	grpc *grpc.Server
}

// NewServer makes a server that does not listen yet. Further options override the server's own.
func NewServer(provider service.Service, options ...grpc.ServerOption) *Server {
	own := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxHeaderListSize(maxHeaderListBytes),
		grpc.ConnectionTimeout(setupTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPingInterval, PermitWithoutStream: true}),
	}
	server := grpc.NewServer(append(own, options...)...)
	server.RegisterService(oneMessageEach(), &handlers{provider: provider})
	return &Server{grpc: server}
}

// Serve answers on the listener until Stop. It closes the listener.
func (s *Server) Serve(listener net.Listener) error { return s.grpc.Serve(listener) }

// Stop ends all connections at once.
func (s *Server) Stop() { s.grpc.Stop() }

// refuseCompressed answers as a server without compression does. A package that kube-apiserver's code imports for tracing
// registers gzip for the whole process, so gRPC would take it.
func refuseCompressed(ctx context.Context) error {
	stream, ok := grpc.ServerTransportStreamFromContext(ctx).(interface{ RecvCompress() string })
	if ok && stream.RecvCompress() != "" && stream.RecvCompress() != "identity" {
		return status.Error(codes.Unimplemented, "messages are not taken compressed")
	}
	return nil
}

// handlers turns messages into calls. k8s.io/kms has the like, but with a listener and server options of its own.
type handlers struct {
	kmsapi.UnsafeKeyManagementServiceServer
	provider service.Service
}

func (h *handlers) Status(ctx context.Context, _ *kmsapi.StatusRequest) (*kmsapi.StatusResponse, error) {
	answer, err := h.provider.Status(ctx)
	if err != nil {
		return nil, err
	}
	return &kmsapi.StatusResponse{Version: answer.Version, Healthz: answer.Healthz, KeyId: answer.KeyID}, nil
}

func (h *handlers) Encrypt(ctx context.Context, request *kmsapi.EncryptRequest) (*kmsapi.EncryptResponse, error) {
	answer, err := h.provider.Encrypt(ctx, request.Uid, request.Plaintext)
	if err != nil {
		return nil, err
	}
	return &kmsapi.EncryptResponse{Ciphertext: answer.Ciphertext, KeyId: answer.KeyID, Annotations: answer.Annotations}, nil
}

func (h *handlers) Decrypt(ctx context.Context, request *kmsapi.DecryptRequest) (*kmsapi.DecryptResponse, error) {
	plaintext, err := h.provider.Decrypt(ctx, request.Uid, &service.DecryptRequest{
		Ciphertext: request.Ciphertext, KeyID: request.KeyId, Annotations: request.Annotations,
	})
	if err != nil {
		return nil, err
	}
	return &kmsapi.DecryptResponse{Plaintext: plaintext}, nil
}
