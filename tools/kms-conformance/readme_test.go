package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"kms-conformance/internal/cases"
)

const (
	listBegins = "<!-- cases -->\n"
	listEnds   = "<!-- /cases -->"
)

// With UPDATE=1 the list is written instead.
func TestTheReadmeListsEveryCase(t *testing.T) {
	content, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), listBegins)
	_, after, foundEnd := strings.Cut(rest, listEnds)
	if !found || !foundEnd {
		t.Fatal("README.md has no place for the cases")
	}
	expected := before + listBegins + caseTable() + listEnds + after
	if expected == string(content) {
		return
	}
	if os.Getenv("UPDATE") == "" {
		t.Fatal("README.md lists other cases than there are: run this test with UPDATE=1")
	}
	if err := os.WriteFile("README.md", []byte(expected), 0o644); err != nil {
		t.Fatal(err)
	}
}

func caseTable() string {
	var table strings.Builder
	table.WriteString("| id | profile | what holds |\n|---|---|---|\n")
	for _, one := range cases.All() {
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", one.ID, one.Profile, strings.ReplaceAll(one.Sentence, "|", "\\|"))
	}
	return table.String()
}
