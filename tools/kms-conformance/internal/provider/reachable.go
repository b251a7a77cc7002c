package provider

import (
	"context"
	"fmt"
	"net"
	"time"
)

// dialAgainAfter is short beside the seconds that a provider takes to start.
const dialAgainAfter = 50 * time.Millisecond

// UnreachableError says that nothing accepted a connection on the socket.
type UnreachableError struct {
	SocketPath string
	Cause      error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no provider accepts connections on %s: %v", e.SocketPath, e.Cause)
}

func (e *UnreachableError) Unwrap() error { return e.Cause }

// AwaitListener returns once the socket accepts a connection.
// It returns an [UnreachableError] if none was accepted in the given time.
func AwaitListener(ctx context.Context, socketPath string, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for {
		var dialer net.Dialer
		connection, err := dialer.DialContext(ctx, "unix", socketPath)
		if err == nil {
			return connection.Close()
		}
		if time.Now().After(deadline) {
			return &UnreachableError{SocketPath: socketPath, Cause: err}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(dialAgainAfter):
		}
	}
}
