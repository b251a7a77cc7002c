package cases

import (
	"fmt"

	"golang.org/x/sync/errgroup"
)

// maxQuotedBytes keeps a provider's odd answers from filling the report.
const maxQuotedBytes = 80

// together calls a function so many times at once, and gives the first error.
func together(calls int, call func(index int) error) error {
	var group errgroup.Group
	for index := range calls {
		group.Go(func() error { return call(index) })
	}
	return group.Wait()
}

// inTurns is like together, with no more than so many at once.
func inTurns(workers, calls int, call func(index int) error) error {
	var group errgroup.Group
	group.SetLimit(workers)
	for index := range calls {
		group.Go(func() error { return call(index) })
	}
	return group.Wait()
}

func quoteKeyID(keyID string) string {
	if len(keyID) > maxQuotedBytes {
		return fmt.Sprintf("%q… (%d bytes)", keyID[:maxQuotedBytes], len(keyID))
	}
	return fmt.Sprintf("%q", keyID)
}
