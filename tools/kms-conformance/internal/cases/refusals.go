package cases

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	kmsapi "k8s.io/kms/apis/v2"

	"kms-conformance/internal/conformance"
)

const (
	// refusalWorkers shorten the rows with many variants for providers that ask a remote service before they refuse.
	refusalWorkers = 8
	// variantsPerRow is how many of a row are enough to read their texts and to time them.
	variantsPerRow = 16
)

// refusalCases turns each row into two: that it is refused at all, and that the code is INVALID_ARGUMENT, which tells an
// operator that asking again is useless. What the refusals say, and how fast they come, are cases of their own.
func refusalCases() []conformance.Case {
	var all []conformance.Case
	for _, row := range refusalRows {
		all = append(all, conformance.Case{
			ID: "decrypt/" + row.name, Profile: row.profile,
			Sentence: "Decrypt refuses " + row.what,
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				return testRow(ctx, bench, row, judgeRefusal)
			},
		}, conformance.Case{
			ID: "decrypt/" + row.name + "/code", Profile: conformance.Strict,
			Sentence: "Decrypt refuses with INVALID_ARGUMENT " + row.what,
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				return testRow(ctx, bench, row, judgeRefusalCode)
			},
		})
	}
	return append(all,
		conformance.Case{
			ID: "decrypt/refusal-texts", Profile: conformance.Strict,
			Sentence: `no refusal names an address, a URL, a token, the plaintext or a --forbid-text`,
			Test:     testRefusalTexts,
		},
		conformance.Case{
			ID: "decrypt/refusal-time", Profile: conformance.Strict,
			Sentence: "no refusal takes longer than --slowest-refusal",
			Test:     testRefusalTime,
		})
}

func judgeRefusal(answer *kmsapi.DecryptResponse, err error) error {
	if err == nil {
		return conformance.Fail("a refusal", "a plaintext of %d bytes", len(answer.Plaintext))
	}
	return expectRefusal(status.Convert(err))
}

func judgeRefusalCode(answer *kmsapi.DecryptResponse, err error) error {
	if err == nil {
		return conformance.Fail(codes.InvalidArgument.String(), "a plaintext of %d bytes", len(answer.Plaintext))
	}
	return expectCode(status.Convert(err), codes.InvalidArgument)
}

// refusalBench is a client with two samples of which the variants are made.
type refusalBench struct {
	client     *conformance.Client
	one, other *conformance.Sample
}

func newRefusalBench(ctx context.Context, bench *conformance.Bench) (*refusalBench, error) {
	client, err := bench.Client()
	if err != nil {
		return nil, err
	}
	one, err := client.Sample(ctx)
	if err != nil {
		return nil, err
	}
	other, err := client.Sample(ctx)
	if err != nil {
		return nil, err
	}
	return &refusalBench{client: client, one: one, other: other}, nil
}

func (b *refusalBench) variants(row refusalRow) []*kmsapi.DecryptRequest {
	return row.variants(pair{one: b.one.Request, other: b.other.Request})
}

// stillDecrypts sees that what was changed was the reason: the unchanged is decrypted before and after.
func (b *refusalBench) stillDecrypts(ctx context.Context) error {
	if err := b.client.Verify(ctx, b.one); err != nil {
		return err
	}
	return b.client.Verify(ctx, b.other)
}

func testRow(ctx context.Context, bench *conformance.Bench, row refusalRow, judge func(*kmsapi.DecryptResponse, error) error) error {
	on, err := newRefusalBench(ctx, bench)
	if err != nil {
		return err
	}
	variants := on.variants(row)
	if len(variants) == 0 {
		if row.notApplicable == "" {
			return conformance.Fail("something to change", "a ciphertext of %d bytes", len(on.one.Request.Ciphertext))
		}
		return &conformance.Skip{Reason: row.notApplicable}
	}
	bench.Measure("requests", float64(len(variants)))
	err = inTurns(refusalWorkers, len(variants), func(index int) error {
		answer, err := on.client.Decrypt(ctx, variants[index])
		if err := judge(answer, err); err != nil {
			return conformance.At(err, "request %d of %d", index+1, len(variants))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return on.stillDecrypts(ctx)
}

// fewVariants takes some of each row, from its beginning to its end.
func (b *refusalBench) fewVariants() (requests []*kmsapi.DecryptRequest) {
	for _, row := range refusalRows {
		variants := b.variants(row)
		step := max(1, len(variants)/variantsPerRow)
		for index := 0; index < len(variants); index += step {
			requests = append(requests, variants[index])
		}
	}
	return requests
}

func testRefusalTexts(ctx context.Context, bench *conformance.Bench) error {
	on, err := newRefusalBench(ctx, bench)
	if err != nil {
		return err
	}
	read := 0
	for _, request := range on.fewVariants() {
		_, err := on.client.Decrypt(ctx, request)
		if err == nil {
			continue // It is the row's own case that fails for this.
		}
		read++
		refusal := status.Convert(err)
		text := refusal.Message()
		for _, detail := range refusal.Proto().GetDetails() {
			text += " " + string(detail.GetValue())
		}
		if found := findForbidden(text, on.one.Plaintext, bench.ForbiddenTexts); found != "" {
			return conformance.Fail("a text that gives nothing away", "%s in %q", found, text)
		}
	}
	if read == 0 {
		return conformance.Fail("refusals whose texts can be read", "none")
	}
	return on.stillDecrypts(ctx)
}

var (
	ipv4Address = regexp.MustCompile(`\b\d{1,3}(\.\d{1,3}){3}\b`)
	// hostAndPort takes numbers of two or three digits for something else, unless they are the ports of HTTP.
	hostAndPort = regexp.MustCompile(`(?i)\b[a-z0-9.-]*[a-z][a-z0-9.-]*:(\d{4,5}|443|80)\b`)
	// ipv6Candidate is whatever might be one; net.ParseIP decides.
	ipv6Candidate = regexp.MustCompile(`(?i)[0-9a-f:]*:[0-9a-f:]*:[0-9a-f:]*`)
)

func findForbidden(text string, plaintext []byte, forbidden []string) string {
	lower := strings.ToLower(text)
	for _, word := range append([]string{"://", "token"}, forbidden...) {
		if strings.Contains(lower, strings.ToLower(word)) {
			return fmt.Sprintf("%q", word)
		}
	}
	if form, found := findPart([]byte(text), plaintext); found {
		return "the plaintext " + form
	}
	isIPv6 := func(candidate string) bool { return net.ParseIP(candidate) != nil }
	switch {
	case ipv4Address.MatchString(text), slices.ContainsFunc(ipv6Candidate.FindAllString(text, -1), isIPv6):
		return "an IP address"
	case hostAndPort.MatchString(text):
		return "a host and port"
	}
	return ""
}

func testRefusalTime(ctx context.Context, bench *conformance.Bench) error {
	on, err := newRefusalBench(ctx, bench)
	if err != nil {
		return err
	}
	var times []time.Duration
	for _, request := range on.fewVariants() {
		started := time.Now()
		_, err := on.client.Decrypt(ctx, request)
		elapsed := time.Since(started)
		if err != nil { // What is not refused fails the row's own case.
			times = append(times, elapsed)
		}
	}
	if len(times) == 0 {
		return conformance.Fail("refusals that can be timed", "none")
	}
	slices.Sort(times)
	slowest := times[len(times)-1]
	bench.Measure("medianMs", milliseconds(times[len(times)/2]))
	bench.Measure("slowestMs", milliseconds(slowest))
	if slowest > bench.SlowestRefusal {
		return conformance.Fail("each refusal within "+bench.SlowestRefusal.String(), "one after %v", slowest)
	}
	return on.stillDecrypts(ctx)
}

func milliseconds(elapsed time.Duration) float64 { return float64(elapsed) / float64(time.Millisecond) }
