// Package provider reaches a Kubernetes KMS v2 provider on a Unix socket, in the two ways that the kit needs:
// as a bare gRPC connection, and as kube-apiserver's own client.
package provider

import (
	"context"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	kmsapi "k8s.io/kms/apis/v2"
)

// MaxMessageBytes is the largest message that our gRPC client sends or takes. It lies far above what a provider should
// take, so that the provider's own limit is the one under test.
const MaxMessageBytes = 64 << 20

// Connection is one HTTP/2 connection to a provider, opened on the first call and again whenever it was lost.
type Connection struct {
	// GRPC is for calls that the generated client cannot make, such as one of an unknown method.
	GRPC *grpc.ClientConn
	// KMS is the generated client of k8s.io/kms.
	KMS   kmsapi.KeyManagementServiceClient
	dials atomic.Int64
}

// Connect prepares a connection that is like kube-apiserver's: no TLS, authority "localhost".
// No byte is sent before the first call.
func Connect(socketPath string) (*Connection, error) {
	connection := &Connection{}
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		connection.dials.Add(1)
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", socketPath)
	}
	// passthrough: the resolver must not read a meaning into a socket path with a colon in it.
	client, err := grpc.NewClient("passthrough:///provider",
		grpc.WithAuthority("localhost"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(dial),
		grpc.WithDefaultCallOptions(
			grpc.WaitForReady(true),
			grpc.MaxCallSendMsgSize(MaxMessageBytes),
			grpc.MaxCallRecvMsgSize(MaxMessageBytes),
		),
	)
	if err != nil {
		return nil, err
	}
	connection.GRPC = client
	connection.KMS = kmsapi.NewKeyManagementServiceClient(client)
	return connection, nil
}

// Dials says how often the socket was dialled: more than once means that the connection was lost in between.
func (c *Connection) Dials() int64 { return c.dials.Load() }

// Close ends the connection. Calls under way fail with CANCELLED.
func (c *Connection) Close() error { return c.GRPC.Close() }
