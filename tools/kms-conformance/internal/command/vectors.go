package command

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"kms-conformance/internal/storedobject"
)

// vectorFileMode is that of other files in a repository.
const vectorFileMode = 0o644

func vectorsCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "vectors",
		Short: "Makes and checks vectors of what kube-apiserver writes to etcd under KMS v2",
		Args:  cobra.NoArgs,
	}
	var folder string
	command.PersistentFlags().StringVar(&folder, "folder", "", "`path` of the folder with the vector files")
	if err := command.MarkPersistentFlagRequired("folder"); err != nil {
		panic(err) // The flag is defined two lines above.
	}
	command.AddCommand(&cobra.Command{
		Use:   "generate --folder PATH",
		Short: "Writes the vector files by kube-apiserver's own code; a file that is there with other content is not overwritten",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return failed(generateVectors(command, folder)) },
	}, &cobra.Command{
		Use:   "verify --folder PATH",
		Short: "Has kube-apiserver's own code read every vector, and compares",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			vectors, err := storedobject.Read(folder)
			if err != nil {
				return failed(err)
			}
			if err := vectors.Verify(command.Context()); err != nil {
				return failed(err)
			}
			_, err = fmt.Fprintf(command.OutOrStdout(), "%d objects, %d refused and %d others are as kube-apiserver reads them\n",
				len(vectors.Objects), len(vectors.Refused), len(vectors.Others))
			return failed(err)
		},
	})
	return command
}

func generateVectors(command *cobra.Command, folder string) error {
	vectors, err := storedobject.Make(command.Context())
	if err != nil {
		return err
	}
	if err := vectors.Verify(command.Context()); err != nil {
		return err
	}
	files, err := vectors.Files()
	if err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(folder, name)
		before, err := os.ReadFile(path)
		switch {
		case err == nil && !bytes.Equal(before, content):
			return fmt.Errorf("%s differs from what is generated, and a released vector is never edited", path)
		case err == nil:
			continue
		case !os.IsNotExist(err):
			return err
		}
		if err := os.WriteFile(path, content, vectorFileMode); err != nil {
			return err
		}
	}
	return nil
}
