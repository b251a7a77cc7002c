package conformance

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Seconds string        `xml:"time,attr"`
	Failure *junitMessage `xml:"failure,omitempty"`
	Skipped *junitMessage `xml:"skipped,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
}

// WriteJUnit writes the report as the XML that CI systems read.
func (r *Report) WriteJUnit(out io.Writer) error {
	suite := junitSuite{Name: "kms-conformance", Tests: len(r.Results), Failures: r.Failed, Skipped: r.Skipped}
	for _, result := range r.Results {
		theme, _, _ := strings.Cut(result.ID, "/")
		one := junitCase{Class: "kms-conformance." + theme, Name: result.ID, Seconds: fmt.Sprintf("%.6f", result.DurationMs/1000)}
		switch result.Outcome {
		case Failed:
			one.Failure = &junitMessage{Message: (&Failure{Expected: result.Expected, Got: result.Got}).Error()}
		case Skipped:
			one.Skipped = &junitMessage{Message: result.Reason}
		case Passed:
		}
		suite.Cases = append(suite.Cases, one)
	}
	if _, err := io.WriteString(out, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(out)
	encoder.Indent("", "  ")
	if err := encoder.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(out, "\n")
	return err
}
