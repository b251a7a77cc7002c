// Package storedobject makes and checks vectors of what kube-apiserver writes to etcd for an object under KMS v2:
// "k8s:enc:kms:v2:", the provider's name, ":" and an EncryptedObject. All are made, and judged, by kube-apiserver's code.
package storedobject

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// The files. Each is a JSON array; bytes are lower-case hex.
const (
	ObjectsFile = "objects.json"
	RefusedFile = "refused.json"
	OthersFile  = "other-storage.json"
)

// Object is something that kube-apiserver reads.
type Object struct {
	Name   string `json:"name"`
	Source string `json:"source"`
	// Value is what etcd holds.
	Value string `json:"value"`
	// ProviderName, KeyID, Annotations (values in hex), EncryptedDEKSource, its type and EncryptedData are what it parses to.
	ProviderName           string            `json:"providerName"`
	KeyID                  string            `json:"keyId"`
	Annotations            map[string]string `json:"annotations"`
	EncryptedDEKSource     string            `json:"encryptedDekSource"`
	EncryptedDEKSourceType string            `json:"encryptedDekSourceType"`
	EncryptedData          string            `json:"encryptedData"`
	// DEKSource is what the provider decrypts EncryptedDEKSource to. With it the object at Path decrypts to Content.
	DEKSource string `json:"dekSource"`
	Path      string `json:"path"`
	Content   string `json:"content"`
}

// Refused is a value under the right prefix that kube-apiserver refuses before it asks the provider.
type Refused struct {
	Name         string `json:"name"`
	Source       string `json:"source"`
	Value        string `json:"value"`
	ProviderName string `json:"providerName"`
	// Error is kube-apiserver's reason. It is for people: nothing else should depend on it.
	Error string `json:"error"`
}

// Other is a value that etcd may hold and that is not under KMS v2.
type Other struct {
	Name   string `json:"name"`
	Source string `json:"source"`
	Value  string `json:"value"`
	// Form is what it is: "identity", or another encryption provider of kube-apiserver.
	Form string `json:"form"`
}

// Vectors are all files.
type Vectors struct {
	Objects []Object
	Refused []Refused
	Others  []Other
}

// Files gives the content of each file by its name.
func (v *Vectors) Files() (map[string][]byte, error) {
	files := map[string][]byte{}
	for name, list := range map[string]any{ObjectsFile: v.Objects, RefusedFile: v.Refused, OthersFile: v.Others} {
		var content bytes.Buffer
		encoder := json.NewEncoder(&content)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(list); err != nil {
			return nil, err
		}
		files[name] = content.Bytes()
	}
	return files, nil
}

// Read reads all files of a folder. A field that is not known is an error.
func Read(folder string) (*Vectors, error) {
	vectors := &Vectors{}
	for name, list := range map[string]any{ObjectsFile: &vectors.Objects, RefusedFile: &vectors.Refused, OthersFile: &vectors.Others} {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		decoder := json.NewDecoder(bytes.NewReader(content))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(list); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(vectors.Objects) == 0 || len(vectors.Refused) == 0 || len(vectors.Others) == 0 {
		return nil, fmt.Errorf("%s: a file holds no vector", folder)
	}
	return vectors, nil
}

func toHex(content []byte) string { return hex.EncodeToString(content) }
