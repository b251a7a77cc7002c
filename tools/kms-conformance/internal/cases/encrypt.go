package cases

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kmsapi "k8s.io/kms/apis/v2"

	"kms-conformance/internal/conformance"
)

const (
	// maxCiphertextBytes and maxAnnotationsBytes are kube-apiserver's limits; it does not export them.
	maxCiphertextBytes  = 1 << 10
	maxAnnotationsBytes = 32 << 10
	// repeats of one plaintext are enough to meet a nonce that is a constant, or one of a few.
	repeats = 50
	// telltaleBytes is the shortest run of a random plaintext that does not turn up by chance.
	telltaleBytes = 8
)

func encryptCases() []conformance.Case {
	return []conformance.Case{
		{
			ID: "encrypt/round-trip", Profile: conformance.Spec,
			Sentence: "Decrypt gives back the 32-byte seed that Encrypt took",
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				client, err := bench.Client()
				if err == nil {
					_, err = client.Sample(ctx)
				}
				return err
			},
		},
		onSeed("encrypt/key-id-matches-status", conformance.Spec,
			"the key id of an Encrypt is the one that Status says", testKeyIDMatchesStatus),
		onSeed("encrypt/ciphertext-length", conformance.Spec,
			"the ciphertext of a seed is not empty and has at most 1 KiB", testCiphertextLength),
		onSeed("encrypt/annotation-names", conformance.Spec,
			"the name of each annotation is a fully qualified domain name", testAnnotationNames),
		onSeed("encrypt/annotations-length", conformance.Spec,
			"the names and values of all annotations have at most 32 KiB", testAnnotationsLength),
		onSeed("encrypt/plaintext-hidden", conformance.Spec,
			"no part of the plaintext stands in the ciphertext or an annotation, plain, in hex or in Base64", testPlaintextHidden),
		{
			ID: "encrypt/any-bytes", Profile: conformance.Spec,
			Sentence: "a plaintext may hold any bytes: zeros, ones, text that is not UTF-8, a ciphertext's beginning",
			Test:     testAnyBytes,
		},
		{
			ID: "encrypt/concurrent", Profile: conformance.Spec,
			Sentence: "of many Encrypts and Decrypts at once each gets its own answer",
			Test:     testConcurrentRoundTrips,
		},
		{
			ID: "encrypt/different-each-time", Profile: conformance.Strict,
			Sentence: "one plaintext encrypts to another ciphertext each time",
			Test:     testDifferentEachTime,
		},
		{
			ID: "encrypt/sizes", Profile: conformance.Strict,
			Sentence: "plaintexts of every length from 1 byte to --largest-plaintext go there and back",
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				client, err := bench.Client()
				if err != nil {
					return err
				}
				for length := 1; length <= bench.LargestPlaintext; length++ {
					plaintext := bytes.Repeat(conformance.NewSeed(), length/conformance.SeedBytes+1)[:length]
					if _, err := client.RoundTrip(ctx, plaintext, conformance.NewUID()); err != nil {
						return conformance.Fail("a round trip of each length", "at %d bytes: %v", length, err)
					}
				}
				return nil
			},
		},
		{
			ID: "encrypt/empty-plaintext", Profile: conformance.Strict,
			Sentence: "an empty plaintext is refused with INVALID_ARGUMENT",
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				return testRefusedPlaintext(ctx, bench, 0, codes.InvalidArgument)
			},
		},
		{
			ID: "encrypt/oversize-plaintext", Profile: conformance.Strict,
			Sentence: "a plaintext is refused with INVALID_ARGUMENT or RESOURCE_EXHAUSTED if its ciphertext would be too long for kube-apiserver",
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				for _, length := range []int{maxCiphertextBytes + 1, 64 << 10, 1 << 20} {
					if err := testRefusedPlaintext(ctx, bench, length, codes.InvalidArgument, codes.ResourceExhausted); err != nil {
						return err
					}
				}
				return nil
			},
		},
	}
}

// onSeed makes a case that looks at what Encrypt answers to one seed.
func onSeed(
	id string, profile conformance.Profile, sentence string,
	test func(ctx context.Context, client *conformance.Client, seed []byte, encrypted *kmsapi.EncryptResponse) error,
) conformance.Case {
	return conformance.Case{ID: id, Profile: profile, Sentence: sentence,
		Test: func(ctx context.Context, bench *conformance.Bench) error {
			client, err := bench.Client()
			if err != nil {
				return err
			}
			seed := conformance.NewSeed()
			encrypted, err := client.Encrypt(ctx, seed, conformance.NewUID())
			if err != nil {
				return conformance.Fail("Encrypt answers", "%v", err)
			}
			return test(ctx, client, seed, encrypted)
		}}
}

func testKeyIDMatchesStatus(ctx context.Context, client *conformance.Client, _ []byte, encrypted *kmsapi.EncryptResponse) error {
	status, err := client.Status(ctx)
	if err != nil {
		return conformance.Fail("Status answers", "%v", err)
	}
	if status.KeyId == "" || encrypted.KeyId != status.KeyId {
		return conformance.Fail("the key id of Status, "+quoteKeyID(status.KeyId), "%s", quoteKeyID(encrypted.KeyId))
	}
	return nil
}

func testCiphertextLength(_ context.Context, _ *conformance.Client, _ []byte, encrypted *kmsapi.EncryptResponse) error {
	if length := len(encrypted.Ciphertext); length == 0 || length > maxCiphertextBytes {
		return conformance.Fail("a ciphertext of 1 to 1024 bytes", "%d bytes", length)
	}
	return nil
}

func testAnnotationNames(_ context.Context, _ *conformance.Client, _ []byte, encrypted *kmsapi.EncryptResponse) error {
	for name := range encrypted.Annotations {
		if errs := validation.IsFullyQualifiedDomainName(field.NewPath("annotations"), name); errs != nil {
			return conformance.Fail("names that kube-apiserver takes", "%v", errs.ToAggregate())
		}
	}
	return nil
}

func testAnnotationsLength(_ context.Context, _ *conformance.Client, _ []byte, encrypted *kmsapi.EncryptResponse) error {
	length := 0
	for name, value := range encrypted.Annotations {
		length += len(name) + len(value)
	}
	if length > maxAnnotationsBytes {
		return conformance.Fail("at most 32768 bytes of annotations", "%d bytes", length)
	}
	return nil
}

func testPlaintextHidden(_ context.Context, _ *conformance.Client, seed []byte, encrypted *kmsapi.EncryptResponse) error {
	if len(encrypted.Ciphertext) == 0 {
		return conformance.Fail("a ciphertext", "an empty one, which hides nothing")
	}
	places := map[string][]byte{"the ciphertext": encrypted.Ciphertext, "the key id": []byte(encrypted.KeyId)}
	for name, value := range encrypted.Annotations {
		places["annotation "+name] = value
		places["the name of annotation "+name] = []byte(name)
	}
	for place, content := range places {
		if form, found := findPart(content, seed); found {
			return conformance.Fail("nothing of the plaintext", "%s holds a part of it %s", place, form)
		}
	}
	return nil
}

func findPart(content, secret []byte) (form string, found bool) {
	lower := []byte(strings.ToLower(string(content)))
	for start := 0; start+telltaleBytes <= len(secret); start++ {
		part := secret[start : start+telltaleBytes]
		// Of Base64, the first characters of each part do not depend on what follows; each start in turn stands where Base64 has it.
		encoded := base64.RawStdEncoding.EncodeToString(part)[:telltaleBytes*8/6]
		switch {
		case bytes.Contains(content, part):
			return "plain", true
		case bytes.Contains(lower, []byte(hex.EncodeToString(part))):
			return "in hex", true
		case bytes.Contains(content, []byte(encoded)):
			return "in Base64", true
		}
	}
	return "", false
}

func testAnyBytes(ctx context.Context, bench *conformance.Bench) error {
	client, err := bench.Client()
	if err != nil {
		return err
	}
	before, err := client.Sample(ctx)
	if err != nil {
		return err
	}
	ciphertext := before.Request.Ciphertext
	for name, plaintext := range map[string][]byte{
		"zeros":                    make([]byte, conformance.SeedBytes),
		"ones":                     bytes.Repeat([]byte{0xff}, conformance.SeedBytes),
		"not UTF-8":                bytes.Repeat([]byte{0xc3, 0x28}, conformance.SeedBytes/2),
		"text":                     []byte("k8s:enc:kms:v2:conformance:\r\n\x00\t"),
		"a ciphertext's beginning": ciphertext[:min(len(ciphertext), conformance.SeedBytes)],
	} {
		if _, err := client.RoundTrip(ctx, plaintext, conformance.NewUID()); err != nil {
			return conformance.Fail("a round trip of each", "of %s: %v", name, err)
		}
	}
	return nil
}

func testConcurrentRoundTrips(ctx context.Context, bench *conformance.Bench) error {
	client, err := bench.Client()
	if err != nil {
		return err
	}
	return together(atOnce, func(int) error {
		_, err := client.Sample(ctx)
		return err
	})
}

func testDifferentEachTime(ctx context.Context, bench *conformance.Bench) error {
	client, err := bench.Client()
	if err != nil {
		return err
	}
	seed := conformance.NewSeed()
	seen := map[string]bool{}
	for range repeats {
		sample, err := client.RoundTrip(ctx, seed, conformance.NewUID())
		if err != nil {
			return err
		}
		if seen[string(sample.Request.Ciphertext)] {
			return conformance.Fail("another ciphertext each time", "the same one again after %d", len(seen))
		}
		seen[string(sample.Request.Ciphertext)] = true
	}
	return nil
}

func testRefusedPlaintext(ctx context.Context, bench *conformance.Bench, length int, allowed ...codes.Code) error {
	client, err := bench.Client()
	if err != nil {
		return err
	}
	// Without this a provider that refuses everything would pass.
	if _, err := client.Sample(ctx); err != nil {
		return err
	}
	answer, err := client.Encrypt(ctx, make([]byte, length), conformance.NewUID())
	if err == nil {
		return conformance.Fail(nameCodes(allowed), "a ciphertext of %d bytes for a plaintext of %d", len(answer.Ciphertext), length)
	}
	return expectCode(status.Convert(err), allowed...)
}
