// Package command is the command line: flags in, an exit code out.
package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"kms-conformance/internal/provider"
)

// The exit codes. They are part of the interface.
const (
	ExitPassed      = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitUnreachable = 3
)

// errFailed ends a command whose report already says what failed.
var errFailed = errors.New("failed")

// runError is any other error after the command line was understood.
type runError struct{ cause error }

func (e *runError) Error() string { return e.cause.Error() }
func (e *runError) Unwrap() error { return e.cause }

// Execute runs the command line and returns the exit code.
func Execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	provider.SilenceKubeAPIServer()
	root := &cobra.Command{
		Use:   "kms-conformance",
		Short: "Tests and loads any Kubernetes KMS v2 provider on a Unix socket",
		Long: `Tests and loads any Kubernetes KMS v2 provider on a Unix socket.

Exit codes: 0 all passed, 1 something failed, 2 the command line is wrong,
3 nothing accepts connections on the socket.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(runCommand(), loadCommand(), coldStartCommand(), vectorsCommand(), serveReferenceCommand())
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errFailed) {
		_, _ = fmt.Fprintf(stderr, "kms-conformance: %v\n", err) // There is nowhere left to report to.
	}
	return exitCode(err)
}

func exitCode(err error) int {
	var unreachable *provider.UnreachableError
	var failedLater *runError
	switch {
	case err == nil:
		return ExitPassed
	case errors.As(err, &unreachable):
		return ExitUnreachable
	case errors.Is(err, errFailed), errors.As(err, &failedLater):
		return ExitFailed
	default:
		return ExitUsage
	}
}

// failed marks an error that is not one of usage.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return &runError{cause: err}
}

// target is the provider that a command calls.
type target struct {
	socketPath string
	patience   time.Duration
}

func (t *target) addFlags(command *cobra.Command) {
	command.Flags().StringVar(&t.socketPath, "socket", "", "`path` of the provider's Unix socket")
	command.Flags().DurationVar(&t.patience, "wait", 5*time.Second, "how long to wait until the socket accepts connections")
	if err := command.MarkFlagRequired("socket"); err != nil {
		panic(err) // The flag is defined two lines above.
	}
}

func (t *target) await(ctx context.Context) error {
	return provider.AwaitListener(ctx, t.socketPath, t.patience)
}

// textReport is a report that a person can read, too.
type textReport interface{ WriteText(io.Writer) error }

func writeReport(out io.Writer, asJSON bool, report textReport) error {
	if !asJSON {
		return report.WriteText(out)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(report)
}
