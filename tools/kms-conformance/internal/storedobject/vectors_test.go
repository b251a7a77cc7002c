package storedobject

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kms-conformance/internal/provider"
)

// folder holds the vectors of the repository that this kit is part of.
const folder = "../../../../vectors/kube-apiserver"

func TestMain(m *testing.M) {
	provider.SilenceKubeAPIServer()
	os.Exit(m.Run())
}

func TestKubeAPIServerReadsTheVectorsAsTheySay(t *testing.T) {
	vectors, err := Read(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := vectors.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTheVectorsAreMadeAgainByteForByte(t *testing.T) {
	vectors, err := Make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files, err := vectors.Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		before, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before, content) {
			t.Errorf("%s differs from what is made", name)
		}
	}
}

func TestAChangedVectorIsNoticed(t *testing.T) {
	for what, change := range map[string]func(vectors *Vectors){
		"key id":         func(vectors *Vectors) { vectors.Objects[0].KeyID += "x" },
		"DEK source":     func(vectors *Vectors) { vectors.Objects[0].EncryptedDEKSource = "00" },
		"type":           func(vectors *Vectors) { vectors.Objects[0].EncryptedDEKSourceType = "AES_GCM_KEY" },
		"encrypted data": func(vectors *Vectors) { vectors.Objects[0].EncryptedData = "00" },
		"annotation":     func(vectors *Vectors) { vectors.Objects[0].Annotations["more.example"] = "00" },
		"seed":           func(vectors *Vectors) { vectors.Objects[0].DEKSource = strings.Repeat("00", 32) },
		"path":           func(vectors *Vectors) { vectors.Objects[0].Path += "x" },
		"content":        func(vectors *Vectors) { vectors.Objects[0].Content = "00" },
		"error":          func(vectors *Vectors) { vectors.Refused[0].Error = "another" },
		"good as refused": func(vectors *Vectors) {
			vectors.Refused[0].Value = vectors.Objects[0].Value
		},
		"other": func(vectors *Vectors) { vectors.Others[0].Value = vectors.Objects[0].Value },
	} {
		vectors, err := Read(folder)
		if err != nil {
			t.Fatal(err)
		}
		change(vectors)
		if vectors.Verify(t.Context()) == nil {
			t.Errorf("a changed %s is not noticed", what)
		}
	}
}

func TestTheSourceNamesTheVersionInUse(t *testing.T) {
	modules, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(modules), "\t"+source+"\n") {
		t.Errorf("the vectors name %q, but go.mod does not: vectors of another version need files of their own", source)
	}
}
