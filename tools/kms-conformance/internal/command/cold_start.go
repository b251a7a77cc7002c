package command

import (
	"time"

	"github.com/spf13/cobra"

	"kms-conformance/internal/coldstart"
)

func coldStartCommand() *cobra.Command {
	var to target
	var plan coldstart.Plan
	var asJSON bool
	command := &cobra.Command{
		Use:   "cold-start --socket PATH",
		Short: "Measures how long a kube-apiserver takes to read all objects after a restart",
		Long: `Measures how long a kube-apiserver takes to read all objects after a restart.

Objects are written by kube-apiserver's own envelope code under many DEK seeds
and kept in memory. Then they are read with nothing cached: the provider must
decrypt each seed. There is about one seed for each restart of each
kube-apiserver since all objects were last written anew.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			plan.SocketPath = to.socketPath
			if err := plan.Check(); err != nil {
				return err
			}
			if err := to.await(command.Context()); err != nil {
				return err
			}
			report, err := coldstart.Run(command.Context(), plan)
			if err != nil {
				return failed(err)
			}
			return failed(writeReport(command.OutOrStdout(), asJSON, report))
		},
	}
	to.addFlags(command)
	flags := command.Flags()
	flags.IntVar(&plan.Seeds, "seeds", 1000, "how many DEK seeds")
	flags.IntVar(&plan.Objects, "objects", 1000, "how many objects in all, written in turn under the seeds")
	flags.IntVar(&plan.Callers, "callers", 16, "how many callers read at once")
	flags.IntVar(&plan.Repeats, "repeat", 5, "how often all is read; the median is reported")
	flags.DurationVar(&plan.CallTimeout, "timeout", 10*time.Second, "deadline of each call")
	flags.BoolVar(&asJSON, "json", false, "write the report as JSON")
	return command
}
