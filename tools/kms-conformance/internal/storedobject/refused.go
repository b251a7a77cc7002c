package storedobject

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// refusal is a way to break a good EncryptedObject.
type refusal struct {
	name   string
	change func(object []byte) []byte
}

func refusals() []refusal {
	replaced := func(number protowire.Number, value []byte) func([]byte) []byte {
		return func(object []byte) []byte { return replaceField(object, number, value) }
	}
	annotated := func(name, value []byte) func([]byte) []byte {
		return func(object []byte) []byte { return appendAnnotation(object, name, value) }
	}
	withType := func(number uint64) func([]byte) []byte {
		return func(object []byte) []byte {
			return protowire.AppendVarint(protowire.AppendTag(dropField(object, typeField), typeField, protowire.VarintType), number)
		}
	}
	return []refusal{
		{"nothing after the prefix", func([]byte) []byte { return nil }},
		{"no encrypted data", func(object []byte) []byte { return dropField(object, encryptedDataField) }},
		{"no key id", func(object []byte) []byte { return dropField(object, keyIDField) }},
		{"an empty key id", replaced(keyIDField, nil)},
		{"a key id of more than 1 KiB", replaced(keyIDField, []byte(strings.Repeat("k", maxKeyIDBytes+1)))},
		{"a key id that is not UTF-8", replaced(keyIDField, []byte{0xc3, 0x28})},
		{"no encrypted DEK source", func(object []byte) []byte { return dropField(object, dekSourceField) }},
		{"an encrypted DEK source of more than 1 KiB", replaced(dekSourceField, fixedBytes("too large", maxDEKSourceBytes+1))},
		{"a type of DEK source that nobody knows", withType(2)},
		{"a negative type of DEK source", withType(1<<64 - 1)},
		{"an annotation whose name is no domain name", annotated([]byte("version"), []byte("1"))},
		{"an annotation whose name has capitals", annotated([]byte("Version.kms.example"), []byte("1"))},
		{"an annotation without a name", annotated(nil, []byte("1"))},
		{"an annotation whose name is not UTF-8", annotated([]byte{0xc3, 0x28}, []byte("1"))},
		{"annotations of more than 32 KiB", annotated([]byte("large.kms.example"), make([]byte, maxAnnotationsBytes))},
		{"the last byte cut off", func(object []byte) []byte { return object[:len(object)-1] }},
		{"all but the first byte cut off", func(object []byte) []byte { return object[:1] }},
		{"cut off within the encrypted data", func(object []byte) []byte { return object[:10] }},
		{"a length past the end", func(object []byte) []byte {
			return protowire.AppendVarint(protowire.AppendTag(slices.Clone(object), 6, protowire.BytesType), 1)
		}},
		{"a length of 2^63", func(object []byte) []byte {
			return protowire.AppendVarint(protowire.AppendTag(slices.Clone(object), 6, protowire.BytesType), 1<<63)
		}},
		{"a varint of eleven bytes", func(object []byte) []byte {
			return append(protowire.AppendTag(slices.Clone(object), 6, protowire.VarintType), strings.Repeat("\x80", 10)+"\x01"...)
		}},
		{"field number 0", func(object []byte) []byte { return append(slices.Clone(object), 0x02, 0x00) }},
		{"wire type 7", func(object []byte) []byte { return append(slices.Clone(object), 6<<3|7) }},
		{"a group that never ends", func(object []byte) []byte { return append(slices.Clone(object), 6<<3|3) }},
		{"the end of a group that never began", func(object []byte) []byte { return append(slices.Clone(object), 6<<3|4) }},
		{"the prefix twice", func(object []byte) []byte { return append([]byte(Prefix(commonName)), object...) }},
	}
}

func makeRefused(ctx context.Context) ([]Refused, error) {
	good, _, err := requests()[0].write(ctx)
	if err != nil {
		return nil, err
	}
	var refused []Refused
	for _, one := range refusals() {
		vector := Refused{
			Name: one.name, Source: source + ", its Protocol Buffers fields changed", ProviderName: commonName,
			Value: toHex(append([]byte(Prefix(commonName)), one.change(good)...)),
		}
		if vector.Error, err = refusalOf(ctx, vector.Value, vector.ProviderName); err != nil {
			return nil, fmt.Errorf("%s: %w", one.name, err)
		}
		refused = append(refused, vector)
	}
	return refused, nil
}
