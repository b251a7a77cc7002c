package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"kms-conformance/internal/cases"
	"kms-conformance/internal/conformance"
)

type runOptions struct {
	target
	settings      conformance.Settings
	profile       string
	pattern       string
	junitPath     string
	rotateCommand string
	asJSON        bool
	list          bool
}

func runCommand() *cobra.Command {
	var options runOptions
	command := &cobra.Command{
		Use:   "run --socket PATH",
		Short: "Runs the conformance cases against the provider",
		Long: `Runs the conformance cases against the provider.

The profile "spec" has what Kubernetes, gRPC and HTTP/2 demand of every
provider. "strict" has more: what a provider should promise though no document
asks for it. The exit code is 1 if any case failed.

--rotate-command is run by /bin/sh. It asks the provider, or the key service
behind it, for a new key; without it the cases of rotation are skipped.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return options.run(command) },
	}
	flags := command.Flags()
	options.addFlags(command)
	flags.StringVar(&options.profile, "profile", string(conformance.Spec), "`name` of the profile: spec or strict")
	flags.StringVar(&options.pattern, "run", "", "run only cases whose id matches this regular `expression`")
	flags.BoolVar(&options.list, "list", false, "list the cases and do not run them")
	flags.BoolVar(&options.asJSON, "json", false, "write the report as JSON")
	flags.StringVar(&options.junitPath, "junit", "", "write the report as JUnit XML, too, to this `file`")
	flags.DurationVar(&options.settings.CallTimeout, "timeout", 3*time.Second, "deadline of each call; kube-apiserver's default is 3s")
	flags.DurationVar(&options.settings.CaseTimeout, "case-timeout", 2*time.Minute, "deadline of each case; that of rotation is added to it")
	flags.DurationVar(&options.settings.SlowestRefusal, "slowest-refusal", 500*time.Millisecond, "how long a refused Decrypt may take")
	flags.IntVar(&options.settings.LargestPlaintext, "largest-plaintext", 256, "`bytes` of the largest plaintext of which a round trip is tried")
	flags.StringArrayVar(&options.settings.ForbiddenTexts, "forbid-text", nil, "`text` that no refusal may hold, such as a key's name; may be given again")
	flags.StringVar(&options.rotateCommand, "rotate-command", "", "shell `command` that rotates the key")
	flags.DurationVar(&options.settings.RotationPatience, "rotation-wait", 5*time.Minute, "how long the new key id may take to appear")
	flags.DurationVar(&options.settings.RotationWatch, "rotation-watch", 10*time.Second, "how long to watch for an old key id that comes back")
	return command
}

func (o *runOptions) run(command *cobra.Command) error {
	selected, err := o.selectCases()
	if err != nil {
		return err
	}
	if o.list {
		return failed(writeList(command.OutOrStdout(), o.asJSON, selected))
	}
	if err := o.checkSettings(); err != nil {
		return err
	}
	ctx := command.Context()
	if err := o.await(ctx); err != nil {
		return err
	}
	tell := func(result conformance.Result) {
		if !o.asJSON {
			_ = result.WriteText(command.OutOrStdout()) // The report's own write fails, too, and is checked.
		}
	}
	report := conformance.Run(ctx, o.settings, conformance.Profile(o.profile), selected, tell)
	if err := writeReport(command.OutOrStdout(), o.asJSON, report); err != nil {
		return failed(err)
	}
	if err := o.writeJUnit(report); err != nil {
		return failed(err)
	}
	if !report.AllPassed() {
		return errFailed
	}
	return nil
}

func (o *runOptions) selectCases() ([]conformance.Case, error) {
	profile := conformance.Profile(o.profile)
	if profile != conformance.Spec && profile != conformance.Strict {
		return nil, fmt.Errorf("--profile must be spec or strict, not %q", o.profile)
	}
	expression, err := regexp.Compile(o.pattern)
	if err != nil {
		return nil, fmt.Errorf("--run: %w", err)
	}
	selected := slices.DeleteFunc(cases.All(), func(one conformance.Case) bool {
		return !profile.Includes(one.Profile) || !expression.MatchString(one.ID)
	})
	if len(selected) == 0 {
		return nil, fmt.Errorf("no case of the profile %s matches %q", profile, o.pattern)
	}
	return selected, nil
}

func (o *runOptions) checkSettings() error {
	settings := &o.settings
	settings.SocketPath = o.socketPath
	if settings.CallTimeout <= 0 || settings.CaseTimeout <= 0 || settings.SlowestRefusal <= 0 ||
		settings.RotationPatience <= 0 || settings.RotationWatch <= 0 {
		return errors.New("--timeout, --case-timeout, --slowest-refusal, --rotation-wait and --rotation-watch must be above 0")
	}
	if settings.LargestPlaintext < 1 {
		return errors.New("--largest-plaintext must be at least 1")
	}
	if o.rotateCommand != "" {
		settings.CaseTimeout += settings.RotationPatience + settings.RotationWatch
		settings.Rotate = func(ctx context.Context) error {
			output, err := exec.CommandContext(ctx, "/bin/sh", "-c", o.rotateCommand).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, output)
			}
			return nil
		}
	}
	return nil
}

func (o *runOptions) writeJUnit(report *conformance.Report) error {
	if o.junitPath == "" {
		return nil
	}
	file, err := os.Create(o.junitPath)
	if err != nil {
		return err
	}
	if err := report.WriteJUnit(file); err != nil {
		_ = file.Close() // The first error is the one to report.
		return err
	}
	return file.Close()
}

// caseList is what --list writes.
type caseList []listedCase

type listedCase struct {
	ID       string              `json:"id"`
	Profile  conformance.Profile `json:"profile"`
	Sentence string              `json:"sentence"`
}

// WriteText writes one line for each case.
func (l caseList) WriteText(out io.Writer) error {
	for _, one := range l {
		if _, err := fmt.Fprintf(out, "%-38s %-6s  %s\n", one.ID, one.Profile, one.Sentence); err != nil {
			return err
		}
	}
	return nil
}

func writeList(out io.Writer, asJSON bool, selected []conformance.Case) error {
	list := caseList{}
	for _, one := range selected {
		list = append(list, listedCase{ID: one.ID, Profile: one.Profile, Sentence: one.Sentence})
	}
	return writeReport(out, asJSON, list)
}
