package conformance

import (
	"context"
	"time"

	kmsapi "k8s.io/kms/apis/v2"
	"k8s.io/kms/pkg/service"

	"kms-conformance/internal/provider"
	"kms-conformance/internal/rawhttp2"
)

// Settings are what the person who runs the kit may choose.
type Settings struct {
	SocketPath string
	// CallTimeout is the deadline of each call. kube-apiserver's default is 3 s.
	CallTimeout time.Duration
	// CaseTimeout ends a case that hangs.
	CaseTimeout time.Duration
	// SlowestRefusal is how long a refusal of a Decrypt may take.
	SlowestRefusal time.Duration
	// LargestPlaintext is the largest plaintext, in bytes, of which round trips are tried.
	LargestPlaintext int
	// ForbiddenTexts must not stand in any error, whatever their case.
	ForbiddenTexts []string
	// Rotate asks the provider, or what is behind it, for a new key; nil if the kit cannot.
	Rotate func(ctx context.Context) error
	// RotationPatience is how long the new key id may take to appear.
	RotationPatience time.Duration
	// RotationWatch is how long Status is watched for an old key id that comes back.
	RotationWatch time.Duration
}

// Bench is what a case works with: the settings, and connections that end with it.
type Bench struct {
	Settings
	measures map[string]float64
	closers  []func()
}

// Measure adds a figure to the case's report.
func (b *Bench) Measure(name string, value float64) { b.measures[name] = value }

// Connect gives a new gRPC connection that nobody else uses.
func (b *Bench) Connect() (*provider.Connection, error) {
	connection, err := provider.Connect(b.SocketPath)
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, func() { _ = connection.Close() }) // It fails only on a second call.
	return connection, nil
}

// Client gives the generated client on a new connection.
func (b *Bench) Client() (*Client, error) {
	connection, err := b.Connect()
	if err != nil {
		return nil, err
	}
	return &Client{Connection: connection, timeout: b.CallTimeout}, nil
}

// Raw gives a connection for hand-made frames. Its reads and writes fail after the given time.
func (b *Bench) Raw(ctx context.Context, timeout time.Duration) (*rawhttp2.Connection, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	connection, err := rawhttp2.Dial(ctx, b.SocketPath)
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, func() { _ = connection.Close() }) // A case may have closed it before.
	return connection, nil
}

// KubeAPIServer gives kube-apiserver's own client.
func (b *Bench) KubeAPIServer(ctx context.Context, providerName string) (service.Service, error) {
	return provider.KubeAPIServerClient(ctx, b.SocketPath, providerName, b.CallTimeout)
}

func (b *Bench) close() {
	for _, closeOne := range b.closers {
		closeOne()
	}
	b.closers = nil
}

// Client calls with a deadline of its own for each call.
type Client struct {
	*provider.Connection
	timeout time.Duration
}

// Status calls Status.
func (c *Client) Status(ctx context.Context) (*kmsapi.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return c.KMS.Status(ctx, &kmsapi.StatusRequest{})
}

// Encrypt calls Encrypt.
func (c *Client) Encrypt(ctx context.Context, plaintext []byte, uid string) (*kmsapi.EncryptResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return c.KMS.Encrypt(ctx, &kmsapi.EncryptRequest{Plaintext: plaintext, Uid: uid})
}

// Decrypt calls Decrypt.
func (c *Client) Decrypt(ctx context.Context, request *kmsapi.DecryptRequest) (*kmsapi.DecryptResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return c.KMS.Decrypt(ctx, request)
}
