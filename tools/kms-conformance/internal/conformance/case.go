// Package conformance runs cases against a provider and reports them. The cases are in package cases.
package conformance

import (
	"context"
	"errors"
	"fmt"
)

// Profile says who demands what a case tests.
type Profile string

const (
	// Spec is what Kubernetes demands of every provider, by its documentation, its protocol file or its code, and what
	// gRPC and HTTP/2 demand of every server.
	Spec Profile = "spec"
	// Strict is more: what a provider should promise though no document asks for it. It includes Spec.
	Strict Profile = "strict"
)

// Includes says whether a run in this profile has the cases of another.
func (p Profile) Includes(other Profile) bool { return p == Strict || p == other }

// Case is one thing that must hold.
type Case struct {
	// ID is theme/name. It is stable: adding one is a minor change, renaming one is not.
	ID string
	// Profile is the one that demands this.
	Profile Profile
	// Sentence says what holds.
	Sentence string
	// Test returns nil if it holds. It must have seen it hold: a case without evidence is a failure.
	Test func(ctx context.Context, bench *Bench) error
}

// Failure says what was expected and what came instead.
type Failure struct {
	Expected string
	Got      string
}

func (f *Failure) Error() string { return fmt.Sprintf("expected %s; got %s", f.Expected, f.Got) }

// Fail makes a [Failure]; got is formatted with the arguments.
func Fail(expected, got string, arguments ...any) error {
	return &Failure{Expected: expected, Got: fmt.Sprintf(got, arguments...)}
}

// At says where among many a failure was met.
func At(err error, place string, arguments ...any) error {
	var failure *Failure
	where := fmt.Sprintf(place, arguments...)
	if errors.As(err, &failure) {
		return &Failure{Expected: failure.Expected, Got: where + ": " + failure.Got}
	}
	return fmt.Errorf("%s: %w", where, err)
}

// Skip says why a case does not apply to this provider. A skipped case has not passed.
type Skip struct{ Reason string }

func (s *Skip) Error() string { return s.Reason }
