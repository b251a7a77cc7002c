package command

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"kms-conformance/internal/reference"
)

// socketMask leaves the socket to its owner from the moment it exists.
const socketMask = 0o177

func serveReferenceCommand() *cobra.Command {
	var socketPath string
	var delay time.Duration
	command := &cobra.Command{
		Use:   "serve-reference --socket PATH",
		Short: "Serves a small, strict provider with a key in memory: a peer for benchmarks",
		Long: `Serves a small, strict provider with a key in memory: a peer for benchmarks.

The key is gone with the process. SIGHUP rotates to a new key; SIGINT and
SIGTERM end the server.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			service, err := reference.NewService(delay)
			if err != nil {
				return failed(err)
			}
			listener, err := listen(socketPath)
			if err != nil {
				return failed(err)
			}
			server := reference.NewServer(service)
			hangUps := make(chan os.Signal, 1)
			signal.Notify(hangUps, syscall.SIGHUP)
			defer signal.Stop(hangUps)
			served := make(chan error, 1)
			go func() { served <- server.Serve(listener) }()
			for {
				select {
				case <-hangUps:
					if err := service.Rotate(); err != nil {
						return failed(err)
					}
				case <-command.Context().Done():
					server.Stop()
					return failed(<-served)
				case err := <-served:
					return failed(err)
				}
			}
		},
	}
	command.Flags().StringVar(&socketPath, "socket", "", "`path` of the Unix socket to listen on; it must not exist")
	command.Flags().DurationVar(&delay, "delay", 0, "time added to Encrypt and Decrypt, as of a remote key service")
	if err := command.MarkFlagRequired("socket"); err != nil {
		panic(err) // The flag is defined three lines above.
	}
	return command
}

// listen takes no socket over: a file that is already there may be another provider's.
func listen(socketPath string) (net.Listener, error) {
	if _, err := os.Lstat(socketPath); err == nil {
		return nil, fmt.Errorf("%s already exists", socketPath)
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	before := syscall.Umask(socketMask)
	defer syscall.Umask(before)
	return net.Listen("unix", socketPath)
}
