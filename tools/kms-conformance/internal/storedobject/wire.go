package storedobject

import (
	"bytes"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of EncryptedObject.
const (
	encryptedDataField = protowire.Number(1)
	keyIDField         = protowire.Number(2)
	dekSourceField     = protowire.Number(3)
	annotationsField   = protowire.Number(4)
	typeField          = protowire.Number(5)
)

// wireField is one field as it is written: its tag and its value.
type wireField struct {
	number protowire.Number
	bytes  []byte
}

// fieldsOf splits a message that was written by a Protocol Buffers library.
func fieldsOf(message []byte) (fields []wireField) {
	for len(message) > 0 {
		number, _, length := protowire.ConsumeField(message)
		if length < 0 {
			panic(protowire.ParseError(length)) // We only split what we have just written.
		}
		fields = append(fields, wireField{number: number, bytes: message[:length]})
		message = message[length:]
	}
	return fields
}

func join(fields []wireField) (message []byte) {
	for _, field := range fields {
		message = append(message, field.bytes...)
	}
	return message
}

func reverseFields(message []byte) []byte {
	fields := fieldsOf(message)
	slices.Reverse(fields)
	return join(fields)
}

func dropField(message []byte, number protowire.Number) []byte {
	return join(slices.DeleteFunc(fieldsOf(message), func(field wireField) bool { return field.number == number }))
}

// replaceField puts one field at the end in place of those of that number.
func replaceField(message []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dropField(message, number), number, protowire.BytesType), value)
}

func appendAnnotation(message, name, value []byte) []byte {
	var entry []byte
	if name != nil {
		entry = protowire.AppendBytes(protowire.AppendTag(entry, 1, protowire.BytesType), name)
	}
	if value != nil {
		entry = protowire.AppendBytes(protowire.AppendTag(entry, 2, protowire.BytesType), value)
	}
	return protowire.AppendBytes(protowire.AppendTag(slices.Clone(message), annotationsField, protowire.BytesType), entry)
}

func swapAnnotations(message []byte) []byte {
	fields := fieldsOf(message)
	slices.SortStableFunc(fields, func(a, b wireField) int {
		if a.number != annotationsField || b.number != annotationsField {
			return int(a.number) - int(b.number)
		}
		return bytes.Compare(b.bytes, a.bytes)
	})
	return join(fields)
}

func annotationsRise(message []byte) bool {
	var annotations [][]byte
	for _, field := range fieldsOf(message) {
		if field.number == annotationsField {
			annotations = append(annotations, field.bytes)
		}
	}
	return slices.IsSortedFunc(annotations, bytes.Compare)
}

// longLengths writes each length in five bytes.
func longLengths(message []byte) (long []byte) {
	for _, field := range fieldsOf(message) {
		_, kind, tagLength := protowire.ConsumeTag(field.bytes)
		if kind != protowire.BytesType {
			long = append(long, field.bytes...)
			continue
		}
		value, _ := protowire.ConsumeBytes(field.bytes[tagLength:])
		length := uint32(len(value))
		long = append(long, field.bytes[:tagLength]...)
		long = append(long, byte(length)|0x80, byte(length>>7)|0x80, byte(length>>14)|0x80, byte(length>>21)|0x80, byte(length>>28))
		long = append(long, value...)
	}
	return long
}
