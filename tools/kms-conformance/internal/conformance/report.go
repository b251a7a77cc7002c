package conformance

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Outcome is how a case ended.
type Outcome string

// The outcomes.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped"
)

// Result is what came of one case.
type Result struct {
	ID         string  `json:"id"`
	Profile    Profile `json:"profile"`
	Sentence   string  `json:"sentence"`
	Outcome    Outcome `json:"outcome"`
	DurationMs float64 `json:"durationMs"`
	// Expected and Got are those of a failed case.
	Expected string `json:"expected,omitempty"`
	Got      string `json:"got,omitempty"`
	// Reason is why a case was skipped.
	Reason string `json:"reason,omitempty"`
	// Measures are figures that the case took on the way; their names end in the unit.
	Measures map[string]float64 `json:"measures,omitempty"`
}

// Report is what came of a run. It is written as JSON.
type Report struct {
	Profile Profile `json:"profile"`
	Passed  int     `json:"passed"`
	Failed  int     `json:"failed"`
	Skipped int     `json:"skipped"`
	// Interrupted is true if not all cases were run.
	Interrupted bool     `json:"interrupted"`
	Results     []Result `json:"results"`
}

func (r *Report) add(result Result) {
	r.Results = append(r.Results, result)
	switch result.Outcome {
	case Passed:
		r.Passed++
	case Failed:
		r.Failed++
	case Skipped:
		r.Skipped++
	}
}

// AllPassed says whether every case ran, none failed, and at least one passed.
func (r *Report) AllPassed() bool { return r.Failed == 0 && r.Passed > 0 && !r.Interrupted }

// WriteText writes the last lines of the report for a person; each case was told before.
func (r *Report) WriteText(out io.Writer) error {
	interrupted := ""
	if r.Interrupted {
		interrupted = ", interrupted"
	}
	_, err := fmt.Fprintf(out, "%d passed, %d failed, %d skipped in the %s profile%s\n",
		r.Passed, r.Failed, r.Skipped, r.Profile, interrupted)
	return err
}

// WriteText writes one case for a person.
func (r Result) WriteText(out io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%-7s %8.1f ms  %s (%s): %s", r.Outcome, r.DurationMs, r.ID, r.Profile, r.Sentence)
	for _, name := range slices.Sorted(maps.Keys(r.Measures)) {
		fmt.Fprintf(&text, "  [%s %.3g]", name, r.Measures[name])
	}
	text.WriteByte('\n')
	switch r.Outcome {
	case Failed:
		fmt.Fprintf(&text, "        expected: %s\n        got:      %s\n", r.Expected, r.Got)
	case Skipped:
		fmt.Fprintf(&text, "        skipped:  %s\n", r.Reason)
	case Passed:
	}
	_, err := io.WriteString(out, text.String())
	return err
}
