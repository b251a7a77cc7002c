package cases

import (
	"bytes"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	kmsapi "k8s.io/kms/apis/v2"

	"kms-conformance/internal/conformance"
)

// pair is what the variants are made from: two encryptions by the provider, each seen to decrypt.
type pair struct{ one, other *kmsapi.DecryptRequest }

// refusalRow is one way to make a Decrypt wrong.
type refusalRow struct {
	name    string
	profile conformance.Profile
	// what says in a sentence what is sent.
	what string
	// variants gives the wrong requests; none if the provider's ciphertexts leave nothing to change.
	variants func(pair pair) []*kmsapi.DecryptRequest
	// notApplicable is why there may be no variants.
	notApplicable string
}

const (
	noAnnotations   = "the provider writes no annotations"
	sameAnnotations = "the provider writes the same annotations for every ciphertext"
)

// refusalRows are the ways to make a Decrypt wrong. Each becomes two cases: see refusalCases.
//
// Kubernetes demands that a provider decrypts only what it knows to be its own, by the key id, and every sound cipher
// notices a changed ciphertext. That annotations are bound to their ciphertext is not demanded: these rows are strict.
var refusalRows = []refusalRow{
	{name: "changed-bit", profile: conformance.Spec, what: "a ciphertext with one bit changed, at each position", variants: changedBits},
	{name: "truncated", profile: conformance.Spec, what: "a ciphertext cut off at each length", variants: truncated},
	{name: "beginning-cut", profile: conformance.Spec, what: "a ciphertext without its first bytes", variants: beginningCut},
	{name: "trailing-bytes", profile: conformance.Spec, what: "a ciphertext with bytes added at its end", variants: trailingBytes},
	{name: "empty-ciphertext", profile: conformance.Spec, what: "an empty ciphertext", variants: emptyCiphertext},
	{name: "oversize-ciphertext", profile: conformance.Spec, what: "a ciphertext of more than 1 KiB", variants: oversizeCiphertext},
	{name: "foreign-ciphertext", profile: conformance.Spec, what: "bytes that nobody encrypted", variants: foreignCiphertext},
	{name: "spliced-ciphertext", profile: conformance.Spec, what: "the beginning of one ciphertext with the end of another", variants: splicedCiphertext,
		notApplicable: "no joint of two ciphertexts differs from both"},
	{name: "foreign-key-id", profile: conformance.Spec, what: "a key id that never was", variants: foreignKeyID},
	{name: "changed-key-id", profile: conformance.Spec, what: "the key id with one character changed, added or removed", variants: changedKeyID},
	{name: "empty-key-id", profile: conformance.Spec, what: "no key id", variants: emptyKeyID},
	{name: "over-long-key-id", profile: conformance.Spec, what: "a key id of more than 1 KiB", variants: overLongKeyID},
	{name: "extra-annotation", profile: conformance.Strict, what: "an annotation more", variants: extraAnnotation},
	{name: "missing-annotation", profile: conformance.Strict, what: "an annotation less, or none", variants: missingAnnotation, notApplicable: noAnnotations},
	{name: "renamed-annotation", profile: conformance.Strict, what: "an annotation under another name", variants: renamedAnnotation, notApplicable: noAnnotations},
	{name: "changed-annotation", profile: conformance.Strict, what: "an annotation with one bit changed, or emptied, shortened or lengthened", variants: changedAnnotation,
		notApplicable: noAnnotations},
	{name: "swapped-pair", profile: conformance.Strict, what: "a ciphertext with the annotations of another", variants: swappedPair, notApplicable: sameAnnotations},
	{name: "empty-request", profile: conformance.Spec, what: "a request with no field set", variants: emptyRequest},
}

// withCiphertext and its like copy a request and change one field.
func withCiphertext(request *kmsapi.DecryptRequest, ciphertext []byte) *kmsapi.DecryptRequest {
	changed := proto.CloneOf(request)
	changed.Ciphertext = ciphertext
	return changed
}

func withKeyID(request *kmsapi.DecryptRequest, keyID string) *kmsapi.DecryptRequest {
	changed := proto.CloneOf(request)
	changed.KeyId = keyID
	return changed
}

func withAnnotations(request *kmsapi.DecryptRequest, annotations map[string][]byte) *kmsapi.DecryptRequest {
	changed := proto.CloneOf(request)
	changed.Annotations = annotations
	return changed
}

func withAnnotation(request *kmsapi.DecryptRequest, name string, value []byte) *kmsapi.DecryptRequest {
	annotations := maps.Clone(request.Annotations)
	if annotations == nil {
		annotations = map[string][]byte{}
	}
	annotations[name] = value
	return withAnnotations(request, annotations)
}

func flipBit(content []byte, bit int) []byte {
	changed := bytes.Clone(content)
	changed[bit/8] ^= 1 << (bit % 8)
	return changed
}

func changedBits(pair pair) (requests []*kmsapi.DecryptRequest) {
	for bit := range 8 * len(pair.one.Ciphertext) {
		requests = append(requests, withCiphertext(pair.one, flipBit(pair.one.Ciphertext, bit)))
	}
	return requests
}

func truncated(pair pair) (requests []*kmsapi.DecryptRequest) {
	for length := range pair.one.Ciphertext {
		if length > 0 { // The empty one is a row of its own.
			requests = append(requests, withCiphertext(pair.one, pair.one.Ciphertext[:length]))
		}
	}
	return requests
}

func beginningCut(pair pair) (requests []*kmsapi.DecryptRequest) {
	// The last few bytes may by chance be the first: the row truncated has those lengths.
	const leastLeft = 4
	for start := 1; start+leastLeft <= len(pair.one.Ciphertext); start++ {
		requests = append(requests, withCiphertext(pair.one, pair.one.Ciphertext[start:]))
	}
	return requests
}

func trailingBytes(pair pair) (requests []*kmsapi.DecryptRequest) {
	for _, tail := range [][]byte{{0}, {0xff}, {'\n'}, {'='}, make([]byte, 16), pair.one.Ciphertext} {
		requests = append(requests, withCiphertext(pair.one, slices.Concat(pair.one.Ciphertext, tail)))
	}
	return requests
}

func emptyCiphertext(pair pair) []*kmsapi.DecryptRequest {
	return []*kmsapi.DecryptRequest{withCiphertext(pair.one, nil)}
}

func oversizeCiphertext(pair pair) (requests []*kmsapi.DecryptRequest) {
	for _, length := range []int{maxCiphertextBytes + 1, 4 << 10, 64 << 10} {
		padded := append(bytes.Clone(pair.one.Ciphertext), make([]byte, length)...)[:length]
		requests = append(requests, withCiphertext(pair.one, padded))
	}
	return requests
}

func foreignCiphertext(pair pair) (requests []*kmsapi.DecryptRequest) {
	length := len(pair.one.Ciphertext)
	random := bytes.Repeat(conformance.NewSeed(), length/conformance.SeedBytes+1)[:length]
	for _, ciphertext := range [][]byte{random, make([]byte, length), bytes.Repeat([]byte{0xff}, length), make([]byte, 8), []byte("8 bytes.")} {
		requests = append(requests, withCiphertext(pair.one, ciphertext))
	}
	return requests
}

func splicedCiphertext(pair pair) (requests []*kmsapi.DecryptRequest) {
	one, other := pair.one.Ciphertext, pair.other.Ciphertext
	for joint := range min(len(one), len(other)) {
		spliced := slices.Concat(one[:joint], other[joint:])
		// With the annotations of the first, the second ciphertext as a whole belongs to the row swapped-pair; what differs by
		// chance in one bit only belongs to changed-bit.
		if differingBits(spliced, one) > 1 && !bytes.Equal(spliced, other) {
			requests = append(requests, withCiphertext(pair.one, spliced))
		}
	}
	return requests
}

// differingBits counts the bits in which two ciphertexts differ; a byte that only one has counts as eight.
func differingBits(one, other []byte) int {
	common := min(len(one), len(other))
	count := 8 * (max(len(one), len(other)) - common)
	for index := range common {
		count += bits.OnesCount8(one[index] ^ other[index])
	}
	return count
}

func foreignKeyID(pair pair) (requests []*kmsapi.DecryptRequest) {
	for _, keyID := range []string{"kms-conformance-no-such-key", conformance.NewUID(), strings.Repeat("0", len(pair.one.KeyId)+1)} {
		requests = append(requests, withKeyID(pair.one, keyID))
	}
	return requests
}

func changedKeyID(pair pair) (requests []*kmsapi.DecryptRequest) {
	keyID := pair.one.KeyId
	for _, changed := range []string{keyID + " ", " " + keyID, keyID + "\x00", keyID + "0", keyID + keyID, keyID[:max(0, len(keyID)-1)]} {
		if changed != "" { // The empty one is a row of its own.
			requests = append(requests, withKeyID(pair.one, changed))
		}
	}
	for position := range keyID {
		replacement := "x"
		if keyID[position] == 'x' {
			replacement = "y"
		}
		// Only ASCII is replaced: the field must stay UTF-8.
		if keyID[position] < 0x80 {
			requests = append(requests, withKeyID(pair.one, keyID[:position]+replacement+keyID[position+1:]))
		}
	}
	if upper := strings.ToUpper(keyID); upper != keyID {
		requests = append(requests, withKeyID(pair.one, upper))
	}
	return requests
}

func emptyKeyID(pair pair) []*kmsapi.DecryptRequest {
	return []*kmsapi.DecryptRequest{withKeyID(pair.one, "")}
}

func overLongKeyID(pair pair) (requests []*kmsapi.DecryptRequest) {
	for _, length := range []int{1025, 64 << 10} {
		requests = append(requests, withKeyID(pair.one, (pair.one.KeyId + strings.Repeat("k", length))[:length]))
	}
	return requests
}

func emptyRequest(pair) []*kmsapi.DecryptRequest { return []*kmsapi.DecryptRequest{{}} }
