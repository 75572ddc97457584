package focusfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/accordo-ai/accordo/internal/focus"
)

const (
	decimalBytes = 16 // holds Precision digits in two's complement
	batchRows    = 1024
	jsonKey      = "focus" // of the metadata inside a Parquet file
)

// node returns the physical form of a column: decimals are DECIMAL(38, 12) in
// 16 bytes, instants are TIMESTAMP in milliseconds of UTC, all else is text.
func node(c focus.Column) parquet.Node {
	switch c.Type {
	case focus.Number:
		return parquet.Optional(parquet.Decimal(focus.Scale, focus.Precision, parquet.FixedLenByteArrayType(decimalBytes)))
	case focus.DateTime:
		return parquet.Optional(parquet.Timestamp(parquet.Millisecond))
	}
	return parquet.Optional(parquet.String())
}

// WriteParquet writes the table with its types; metadata goes into the file's
// footer under the key "focus".
func WriteParquet(w io.Writer, t *focus.Table, metadata []byte) error {
	group := parquet.Group{}
	for _, c := range t.Columns {
		group[c.Name] = node(c)
	}
	schema := parquet.NewSchema("focus", group)
	// Parquet's columns stand by name; ours may not.
	leaf := make([]int, len(t.Columns))
	for i, path := range schema.Columns() {
		leaf[t.Position(path[0])] = i
	}
	out := parquet.NewWriter(w, schema, parquet.KeyValueMetadata(jsonKey, string(metadata)), parquet.CreatedBy("accordo", "1", ""), parquet.Compression(&parquet.Zstd))
	batch := make([]parquet.Row, 0, batchRows)
	for n, row := range t.Rows {
		values := make(parquet.Row, len(row))
		for i, c := range row {
			v, err := encode(t.Columns[i], c)
			if err != nil {
				return fmt.Errorf("row %d, column %s: %w", n+1, t.Columns[i].Name, err)
			}
			level := 0
			if c.Valid {
				level = 1
			}
			values[leaf[i]] = v.Level(0, level, leaf[i])
		}
		if batch = append(batch, values); len(batch) == batchRows {
			if _, err := out.WriteRows(batch); err != nil {
				return fmt.Errorf("write Parquet: %w", err)
			}
			batch = batch[:0]
		}
	}
	if _, err := out.WriteRows(batch); err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	return nil
}

var errDigits = errors.New("the number needs more digits than the column has")

func encode(column focus.Column, c focus.Cell) (parquet.Value, error) {
	switch {
	case !c.Valid:
		return parquet.NullValue(), nil
	case column.Type == focus.Number:
		d, err := focus.ParseDecimal(c.Text)
		if err != nil {
			return parquet.Value{}, err
		}
		n, whole := d.Unscaled(focus.Scale)
		if !whole || n.BitLen() >= 8*decimalBytes-1 {
			return parquet.Value{}, errDigits
		}
		return parquet.FixedLenByteArrayValue(bigEndian(n)), nil
	case column.Type == focus.DateTime:
		at, err := time.Parse(time.RFC3339, c.Text)
		if err != nil {
			return parquet.Value{}, err
		}
		return parquet.Int64Value(at.UnixMilli()), nil
	}
	return parquet.ByteArrayValue([]byte(c.Text)), nil
}

// bigEndian is n in two's complement.
func bigEndian(n *big.Int) []byte {
	m := n
	if n.Sign() < 0 {
		m = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), 8*decimalBytes))
	}
	return m.FillBytes(make([]byte, decimalBytes))
}

func fromBigEndian(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}

// maxFooter bounds the description of a file in bytes.
const maxFooter = 16 << 20

// footer refuses a file whose end does not describe it, before the library
// makes room for what the end claims.
func footer(r io.ReaderAt, size int64) error {
	const magic, tail = "PAR1", 8
	var end [tail]byte
	if size < int64(len(magic)+tail) {
		return fmt.Errorf("%w: it is too short for Parquet", ErrFile)
	}
	if _, err := r.ReadAt(end[:], size-tail); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", ErrFile, err)
	}
	n := int64(binary.LittleEndian.Uint32(end[:4]))
	if string(end[4:]) != magic || n > maxFooter || n > size-int64(len(magic)+tail) {
		return fmt.Errorf("%w: its end is not that of a Parquet file", ErrFile)
	}
	return nil
}

// ReadParquet reads a flat table that WriteParquet wrote, with its types and
// its metadata. It is for files of our own: a damaged one is an error, but may
// cost memory first.
func ReadParquet(r io.ReaderAt, size int64) (t focus.Table, metadata []byte, err error) {
	defer func() {
		// The library panics on some damaged files.
		if p := recover(); p != nil {
			t, metadata, err = focus.Table{}, nil, fmt.Errorf("%w: it is damaged: %v", ErrFile, p)
		}
	}()
	if err := footer(r, size); err != nil {
		return focus.Table{}, nil, err
	}
	return readParquet(r, size)
}

func readParquet(r io.ReaderAt, size int64) (focus.Table, []byte, error) {
	f, err := parquet.OpenFile(r, size)
	if err != nil {
		return focus.Table{}, nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	if f.NumRows() > MaxRows || len(f.Schema().Fields()) > MaxColumns {
		return focus.Table{}, nil, fmt.Errorf("%w: it has more than %d rows or %d columns", ErrFile, MaxRows, MaxColumns)
	}
	var t focus.Table
	for _, field := range f.Schema().Fields() {
		if !field.Leaf() || field.Repeated() {
			return focus.Table{}, nil, fmt.Errorf("%w: column %s is nested", ErrFile, field.Name())
		}
		t.Columns = append(t.Columns, focus.Column{Name: field.Name(), Type: kindOf(field)})
	}
	rows := parquet.NewReader(f)
	defer rows.Close()
	batch := make([]parquet.Row, batchRows)
	for {
		n, err := rows.ReadRows(batch)
		for _, row := range batch[:n] {
			cells := make([]focus.Cell, len(t.Columns))
			for _, v := range row {
				if i := v.Column(); i >= 0 && i < len(cells) {
					cells[i] = decode(t.Columns[i], v)
				}
			}
			t.Rows = append(t.Rows, cells)
		}
		if errors.Is(err, io.EOF) {
			metadata, _ := f.Lookup(jsonKey)
			return t, []byte(metadata), nil
		}
		if err != nil {
			return focus.Table{}, nil, fmt.Errorf("%w: %w", ErrFile, err)
		}
		if n == 0 || int64(len(t.Rows)) > f.NumRows() {
			return focus.Table{}, nil, fmt.Errorf("%w: its rows are not as many as it says", ErrFile)
		}
	}
}

func kindOf(field parquet.Field) focus.Type {
	logical := field.Type().LogicalType()
	switch {
	case logical != nil && logical.Decimal != nil:
		return focus.Number
	case logical != nil && logical.Timestamp != nil:
		return focus.DateTime
	}
	return focus.String
}

func decode(column focus.Column, v parquet.Value) focus.Cell {
	switch {
	case v.IsNull():
		return focus.Null
	case column.Type == focus.Number:
		return focus.Value(focus.DecimalOf(fromBigEndian(v.ByteArray()), focus.Scale))
	case column.Type == focus.DateTime:
		return focus.Instant(time.UnixMilli(v.Int64()))
	}
	return focus.Text(string(v.ByteArray()))
}
