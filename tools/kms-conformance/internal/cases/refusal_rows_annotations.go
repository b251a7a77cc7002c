package cases

import (
	"bytes"
	"maps"

	kmsapi "k8s.io/kms/apis/v2"
)

const (
	strangeAnnotation = "strange.kms-conformance.example"
	// maxAnnotationBits is about how many bits of one annotation are changed in turn. It is no multiple of 8, so that bits of
	// every place in a byte are among them.
	maxAnnotationBits = 1021
)

func extraAnnotation(pair pair) []*kmsapi.DecryptRequest {
	return []*kmsapi.DecryptRequest{
		withAnnotation(pair.one, strangeAnnotation, []byte("1")),
		withAnnotation(pair.one, strangeAnnotation, nil),
		withAnnotation(pair.one, "", []byte("1")),
		withAnnotation(pair.one, "__proto__", []byte("1")),
		withAnnotation(pair.one, strangeAnnotation, make([]byte, maxAnnotationsBytes)),
	}
}

func missingAnnotation(pair pair) (requests []*kmsapi.DecryptRequest) {
	for name := range pair.one.Annotations {
		annotations := maps.Clone(pair.one.Annotations)
		delete(annotations, name)
		requests = append(requests, withAnnotations(pair.one, annotations))
	}
	if len(pair.one.Annotations) > 1 {
		requests = append(requests, withAnnotations(pair.one, nil))
	}
	return requests
}

func renamedAnnotation(pair pair) (requests []*kmsapi.DecryptRequest) {
	for name, value := range pair.one.Annotations {
		for _, other := range []string{strangeAnnotation, name + ".", "x" + name, name[1:]} {
			annotations := maps.Clone(pair.one.Annotations)
			delete(annotations, name)
			annotations[other] = value
			requests = append(requests, withAnnotations(pair.one, annotations))
		}
	}
	return requests
}

func changedAnnotation(pair pair) (requests []*kmsapi.DecryptRequest) {
	for name, value := range pair.one.Annotations {
		// Of a long value not every bit is tried: 32 KiB have a quarter of a million.
		step := max(1, 8*len(value)/maxAnnotationBits)
		for bit := 0; bit < 8*len(value); bit += step {
			requests = append(requests, withAnnotation(pair.one, name, flipBit(value, bit)))
		}
		requests = append(requests, withAnnotation(pair.one, name, append(bytes.Clone(value), 0)))
		if len(value) > 0 {
			requests = append(requests, withAnnotation(pair.one, name, nil))
			requests = append(requests, withAnnotation(pair.one, name, value[:len(value)-1]))
		}
	}
	return requests
}

func swappedPair(pair pair) []*kmsapi.DecryptRequest {
	if maps.EqualFunc(pair.one.Annotations, pair.other.Annotations, bytes.Equal) {
		return nil
	}
	return []*kmsapi.DecryptRequest{
		withAnnotations(pair.one, pair.other.Annotations),
		withAnnotations(pair.other, pair.one.Annotations),
	}
}
