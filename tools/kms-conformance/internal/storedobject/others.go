package storedobject

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	"k8s.io/apiserver/pkg/storage/value"
)

const (
	identityForm = "identity"
	// handMade are the sources of values that kube-apiserver's code was not asked to write.
	handMade = "k8s.io/apiserver v0.36.3, the prefixes in pkg/server/options/encryptionconfig/config.go; the rest by hand"
)

type jsonObject = map[string]any

func makeOthers(ctx context.Context) ([]Other, error) {
	var others []Other
	for _, form := range []string{"aescbc", "aesgcm", "secretbox", identityForm} {
		written, err := writeUnder(ctx, form)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", form, err)
		}
		others = append(others, Other{Name: "a secret under " + form, Source: source, Value: toHex(written), Form: form})
	}
	byHand := func(name, form, value string) Other {
		return Other{Name: name, Source: handMade, Value: toHex([]byte(value)), Form: form}
	}
	return append(others,
		byHand("a secret under KMS v1", "kms v1", "k8s:enc:kms:v1:"+commonName+":\x00\x20"+string(fixedBytes("kms v1", 60))),
		byHand("a version of KMS to come", "unknown", "k8s:enc:kms:v3:"+commonName+":\x0a\x00"),
		byHand("an encryption to come", "unknown", "k8s:enc:other:v1:key:\x0a\x00"),
		byHand("an object stored as JSON", identityForm, `{"kind":"Secret","apiVersion":"v1"}`),
		byHand("nothing", identityForm, ""),
		byHand("the prefix of KMS v2 cut off", "unknown", "k8s:enc:kms:v2"),
		byHand("the prefix of KMS v2 in capitals", identityForm, "K8S:ENC:KMS:V2:"+commonName+":\x0a\x00"),
		byHand("the prefix of KMS v2 after a space", identityForm, " "+Prefix(commonName)+"\x0a\x00"),
	), nil
}

// writeUnder has kube-apiserver write an object under one of its other providers.
func writeUnder(ctx context.Context, form string) (written []byte, err error) {
	configuration, err := json.Marshal(jsonObject{
		"apiVersion": "apiserver.config.k8s.io/v1",
		"kind":       "EncryptionConfiguration",
		"resources":  []jsonObject{{"resources": []string{"secrets"}, "providers": []jsonObject{{form: parametersOf(form)}}}},
	})
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "kms-conformance-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }() // Its keys are no secrets.
	file := filepath.Join(folder, "encryption-configuration.yaml")
	if err := os.WriteFile(file, configuration, 0o600); err != nil {
		return nil, err
	}
	loaded, err := encryptionconfig.LoadEncryptionConfig(ctx, file, false, "kms-conformance")
	if err != nil {
		return nil, err
	}
	transformer := loaded.Transformers[schema.GroupResource{Resource: "secrets"}]
	err = withRandomOf(form, func() (err error) {
		written, err = transformer.TransformToStorage(ctx, []byte(objectContent), value.DefaultContext(objectPath))
		return err
	})
	return written, err
}

func parametersOf(form string) jsonObject {
	if form == identityForm {
		return jsonObject{}
	}
	secret := base64.StdEncoding.EncodeToString(fixedBytes("key of "+form, 32))
	return jsonObject{"keys": []jsonObject{{"name": "key1", "secret": secret}}}
}
