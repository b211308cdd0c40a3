// Command generate copies into the Helm chart what stands in config/ already, so that the two cannot say different things:
// the definition, the rules of every role, the alerts and the dashboard. It also writes the tables of docs/install.md.
// go run ./charts/generate, in the root of the repository.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// run writes all files anew, below the root of a checkout.
func run(root string) error {
	files, err := chartFiles(root)
	if err != nil {
		return err
	}
	page, err := installPage(root)
	if err != nil {
		return err
	}
	files[installDoc] = page
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
