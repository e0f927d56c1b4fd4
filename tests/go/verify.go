// Command verify is a second opinion on an evidence log, by code that is not ours: Go's own note and tlog packages.
//
//	verify VKEY DIR [OLD-CHECKPOINT]
//
// It opens the checkpoint in DIR under the log's public key, checks every entry of the log against it, reading hashes
// from the log's tiles, and, given an earlier checkpoint, checks that the log only grew since. It prints what it
// checked, and fails with a message otherwise.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

// open reads a signed checkpoint and verifies the log's signature; lines by other keys are passed over.
func open(key, path string) tlog.Tree {
	data, err := os.ReadFile(path)
	if err != nil {
		fail("%v", err)
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		fail("%s: %v", key, err)
	}
	opened, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		fail("%s: %v", path, err)
	}
	lines := strings.SplitN(opened.Text, "\n", 4)
	if len(lines) < 4 || lines[0] != verifier.Name() {
		fail("%s: not a checkpoint of %s", path, verifier.Name())
	}
	var tree tlog.Tree
	if _, err := fmt.Sscanf(lines[1], "%d", &tree.N); err != nil {
		fail("%s: %v", path, err)
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	if err != nil {
		fail("%s: %v", path, err)
	}
	return tree
}

// tiles reads the tiles of a directory. Go's paths name the height of tiles, those of C2SP do not.
type tiles struct{ directory string }

func (t tiles) Height() int { return height }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, len(wanted))
	for i, tile := range wanted {
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
		data, err := os.ReadFile(filepath.Join(t.directory, path))
		if err != nil {
			whole := strings.Split(path, ".p/")[0]
			data, err = os.ReadFile(filepath.Join(t.directory, whole))
		}
		if err != nil {
			return nil, err
		}
		if len(data) < tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s: too short", path)
		}
		found[i] = data[:tile.W*tlog.HashSize]
	}
	return found, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// entries reads the first size entries from their bundles.
func entries(directory string, size int64) [][]byte {
	var found [][]byte
	for index := int64(0); int64(len(found)) < size; index++ {
		tile := tlog.Tile{H: height, L: 0, N: index, W: 1 << height}
		if rest := size - index<<height; rest < 1<<height {
			tile.W = int(rest)
		}
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/0/", height), "tile/entries/", 1)
		data, err := os.ReadFile(filepath.Join(directory, path))
		if err != nil {
			data, err = os.ReadFile(filepath.Join(directory, strings.Split(path, ".p/")[0]))
		}
		if err != nil {
			fail("%v", err)
		}
		for count := 0; count < tile.W; count++ {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				fail("%s: cut off", path)
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			found = append(found, data[2:end])
			data = data[end:]
		}
	}
	return found
}

func main() {
	if len(os.Args) < 3 {
		fail("usage: verify VKEY DIR [OLD-CHECKPOINT]")
	}
	key, directory := os.Args[1], os.Args[2]
	tree := open(key, filepath.Join(directory, "checkpoint"))
	hashes := tlog.TileHashReader(tree, tiles{directory})
	for index, entry := range entries(directory, tree.N) {
		proof, err := tlog.ProveRecord(tree.N, int64(index), hashes)
		if err != nil {
			fail("entry %d: %v", index, err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, int64(index), tlog.RecordHash(entry)); err != nil {
			fail("entry %d: %v", index, err)
		}
	}
	fmt.Printf("%d entries\n", tree.N)
	if len(os.Args) > 3 {
		old := open(key, os.Args[3])
		proof, err := tlog.ProveTree(tree.N, old.N, hashes)
		if err != nil {
			fail("from %d to %d: %v", old.N, tree.N, err)
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
			fail("from %d to %d: %v", old.N, tree.N, err)
		}
		fmt.Printf("continues %d\n", old.N)
	}
}
