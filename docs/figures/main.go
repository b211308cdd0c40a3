// Command figures draws the pictures of docs/concepts.md from measured data:
//
//	PDAUTOSCALER_DATA=... go run ./docs/figures
//
// in the root of the repository. The data are not part of the repository, so
// that this is no part of make generate; without them it says so and draws nothing.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// dataEnv names the folder of the measured files.
const dataEnv = "PDAUTOSCALER_DATA"

// figures are the pictures by their name in docs/images.
var figures = map[string]func(data string) ([]byte, error){
	"utilisation.svg": utilisation,
	"prompts.svg":     prompts,
	"two-loads.svg":   twoLoads,
}

func main() {
	data := os.Getenv(dataEnv)
	if data == "" {
		fmt.Fprintln(os.Stderr, "figures: "+dataEnv+" names no folder of measured data: nothing is drawn")
		return
	}
	for name, draw := range figures {
		picture, err := draw(data)
		if err == nil {
			err = os.WriteFile(filepath.Join("docs/images", name), picture, 0o644)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "figures: %s: %v\n", name, err)
			os.Exit(1)
		}
	}
}

// drawn is what a function writes.
func drawn(write func(*bytes.Buffer) error) ([]byte, error) {
	var b bytes.Buffer
	err := write(&b)
	return b.Bytes(), err
}
