package command

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"kms-conformance/internal/load"
)

func loadCommand() *cobra.Command {
	var to target
	var plan load.Plan
	var operation string
	var mixed, asJSON bool
	command := &cobra.Command{
		Use:   "load --socket PATH (--operation NAME | --mixed)",
		Short: "Calls the provider as often as it can and reports rates, times and codes",
		Long: `Calls the provider as often as it can and reports rates, times and codes.

encrypt      a 32-byte seed
decrypt      what the provider encrypted before
status       as kube-apiserver polls it
bad-decrypt  a ciphertext with one changed bit, which must be refused

--mixed cycles through all four. The exit code is 1 if any answer was wrong.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			operations, err := chooseOperations(operation, mixed)
			if err != nil {
				return err
			}
			plan.Operations = operations
			plan.SocketPath = to.socketPath
			if plan.Count > 0 && !command.Flags().Changed("duration") {
				plan.Duration = 0
			}
			if err := plan.Check(); err != nil {
				return err
			}
			if err := to.await(command.Context()); err != nil {
				return err
			}
			report, err := load.Run(command.Context(), plan)
			if err != nil {
				return failed(err)
			}
			if err := writeReport(command.OutOrStdout(), asJSON, report); err != nil {
				return failed(err)
			}
			if report.Wrong > 0 || report.Calls == 0 {
				return errFailed
			}
			return nil
		},
	}
	to.addFlags(command)
	flags := command.Flags()
	flags.StringVar(&operation, "operation", "", "`name` of the operation: encrypt, decrypt, status or bad-decrypt")
	flags.BoolVar(&mixed, "mixed", false, "cycle through all operations")
	flags.IntVar(&plan.Callers, "callers", 1, "how many callers, each with one call at a time")
	flags.IntVar(&plan.Connections, "connections", 1, "how many connections the callers share; kube-apiserver has one")
	flags.DurationVar(&plan.Duration, "duration", 5*time.Second, "how long to call")
	flags.Uint64Var(&plan.Count, "count", 0, "how many calls to make in all, instead of or within the duration")
	flags.DurationVar(&plan.WarmUp, "warm-up", 0, "how long to call before the calls that count")
	flags.DurationVar(&plan.CallTimeout, "timeout", 10*time.Second, "deadline of each call")
	flags.BoolVar(&asJSON, "json", false, "write the report as JSON")
	return command
}

func chooseOperations(name string, mixed bool) ([]load.Operation, error) {
	operation := load.Operation(name)
	switch {
	case mixed && name == "":
		return load.Operations, nil
	case mixed:
		return nil, fmt.Errorf("--mixed and --operation exclude each other")
	case slices.Contains(load.Operations, operation):
		return []load.Operation{operation}, nil
	default:
		return nil, fmt.Errorf("--operation must be one of %v, not %q", load.Operations, name)
	}
}
