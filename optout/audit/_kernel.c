/* The compiled tier of the audit: finding origins and matching paths for a whole column of URLs.
 *
 * It means exactly what optout/audit/locate.py and optout/audit/matcher.py mean, and one set of tests holds all three
 * equal. A URL that is not judged as it is written (with tabs or line breaks in it, white space or controls at its
 * end, or segments that begin with a dot), and one whose beginning does not tell its origin, are left to Python.
 *
 * `Beginnings` cuts columns at the third slash and numbers the distinct texts before it, which it keeps from column to
 * column. A `Matcher` is the flat form of `optout.audit.matcher.Matcher`: an array of 32-bit numbers followed by all
 * strings, as `flat.py` writes it. Every place in it is checked when it is made, so that a damaged file cannot make
 * `match` read outside of it.
 */

#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>
#include <stdint.h>
#include <string.h>

/* Of what Python and this file say to each other; `judge.py` has the same number, and both change together. */
#define EDITION 2

#define UNKNOWN (-1)
#define PERMITS 1
#define DOUBTED 2

/* The pairs of bytes that a text holds, as bits of a small set: a text without all pairs of a run cannot hold the run. */
typedef struct { uint64_t low, high; } Pairs;

static void pairs_add(Pairs *pairs, const char *text, Py_ssize_t size) {
    uint64_t low = pairs->low, high = pairs->high;
    for (Py_ssize_t place = 1; place < size; place++) {
        uint16_t pair;
        memcpy(&pair, text + place - 1, 2);
        uint32_t mixed = pair * 0x9E3779B1u;
        uint64_t bit = 1ULL << (mixed >> 25 & 63), upper = -(uint64_t)(mixed >> 31);
        low |= bit & ~upper;
        high |= bit & upper;
    }
    *pairs = (Pairs){low, high};
}

static int pairs_within(const Pairs *some, const Pairs *all) {
    return ((some->low & ~all->low) | (some->high & ~all->high)) == 0;
}

/* Finding what follows in a longer text; memmem is not in every C library. */
static const char *find(const char *text, Py_ssize_t size, const char *run, Py_ssize_t length) {
    if (length == 0) return text;
    const char *last = text + size - length;
    while (text <= last) {
        text = memchr(text, run[0], (size_t)(last - text) + 1);
        if (text == NULL) return NULL;
        if (memcmp(text, run, (size_t)length) == 0) return text;
        text++;
    }
    return NULL;
}

static uint64_t hashed(const void *data, size_t size) {
    const unsigned char *at = data;
    uint64_t hash = 0x9E3779B97F4A7C15ULL ^ size;
    while (size >= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = (hash ^ word) * 0xFF51AFD7ED558CCDULL;
        hash ^= hash >> 32;
        at += 8;
        size -= 8;
    }
    uint64_t rest = 0;
    memcpy(&rest, at, size);
    hash = (hash ^ rest) * 0xC4CEB9FE1A85EC53ULL;
    return hash ^ (hash >> 29);
}

/* ---- Matcher ---- */

typedef struct {
    PyObject_HEAD
    const char *pool;
    int32_t tables, prefixes, exacts, heads;
    const int32_t *prefix_at, *prefix_over, *prefix_class;
    const int32_t *exact_at, *exact_ranks;
    const int32_t *head_at, *head_over, *head_specials;
    const int32_t *special_runs, *special_tail, *special_ranks;
    const int32_t *run_at, *rank_table, *rank_rank;
    /* The combinations of ranks by number; their outcomes; and a table to find them by. */
    /* An outcome is told as four times its number, plus what `put` says about the combination. */
    int32_t *keys, *outcomes, *slots;
    int32_t count, room, mask;
    int32_t *scratch;
    Pairs *special_pairs;
    /* The refusals of a second reader that may add to ours, as a matcher of its own; NULL where it adds nothing. */
    PyObject *theirs;
    Py_buffer flat;
} Matcher;

static int grow(Matcher *self, int32_t room) {
    int32_t slots = 8;
    while (slots < 2 * room) slots *= 2;
    size_t width = sizeof(int32_t) * (size_t)(self->tables ? self->tables : 1);
    int32_t *keys = PyMem_Realloc(self->keys, width * (size_t)room);
    if (keys) self->keys = keys;
    int32_t *outcomes = PyMem_Realloc(self->outcomes, sizeof(int32_t) * (size_t)room);
    if (outcomes) self->outcomes = outcomes;
    int32_t *table = PyMem_Realloc(self->slots, sizeof(int32_t) * (size_t)slots);
    if (table) self->slots = table;
    if (!keys || !outcomes || !table) {
        PyErr_NoMemory();
        return -1;
    }
    self->room = room;
    self->mask = slots - 1;
    memset(self->slots, 0xFF, sizeof(int32_t) * (size_t)slots);
    for (int32_t number = 0; number < self->count; number++) {
        uint64_t at = hashed(self->keys + (size_t)number * self->tables, sizeof(int32_t) * (size_t)self->tables);
        while (self->slots[at & (uint64_t)self->mask] != UNKNOWN) at++;
        self->slots[at & (uint64_t)self->mask] = number;
    }
    return 0;
}

/* The number of a combination, which becomes the next one where it is new; -1 where there is no memory. */
static int32_t number_of(Matcher *self, const int32_t *key) {
    size_t width = sizeof(int32_t) * (size_t)self->tables;
    uint64_t at = hashed(key, width);
    for (;; at++) {
        int32_t number = self->slots[at & (uint64_t)self->mask];
        if (number == UNKNOWN) break;
        if (memcmp(self->keys + (size_t)number * self->tables, key, width) == 0) return number;
    }
    if (self->count == self->room) {
        if (grow(self, 2 * self->room) < 0) return -1;
        at = hashed(key, width);
        while (self->slots[at & (uint64_t)self->mask] != UNKNOWN) at++;
    }
    memcpy(self->keys + (size_t)self->count * self->tables, key, width);
    self->outcomes[self->count] = UNKNOWN;
    self->slots[at & (uint64_t)self->mask] = self->count;
    return self->count++;
}

/* The last of sorted strings that is not greater than the target; -1 for none. */
static int32_t bisect(const Matcher *self, const int32_t *places, int32_t count, const char *target, Py_ssize_t size) {
    int32_t low = 0, high = count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        Py_ssize_t length = places[middle + 1] - places[middle];
        int order = memcmp(self->pool + places[middle], target, (size_t)(length < size ? length : size));
        if (order < 0 || (order == 0 && length <= size)) low = middle + 1;
        else high = middle;
    }
    return low - 1;
}

static int begins(const Matcher *self, const int32_t *places, int32_t at, const char *target, Py_ssize_t size) {
    Py_ssize_t length = places[at + 1] - places[at];
    return length <= size && memcmp(self->pool + places[at], target, (size_t)length) == 0;
}

static int special_matches(const Matcher *self, int32_t special, Py_ssize_t at, const char *target, Py_ssize_t size) {
    Py_ssize_t end = size;
    int32_t tail = self->special_tail[special];
    if (tail != UNKNOWN) {
        Py_ssize_t length = self->run_at[tail + 1] - self->run_at[tail];
        end = size - length;
        if (end < at || memcmp(target + end, self->pool + self->run_at[tail], (size_t)length) != 0) return 0;
    }
    for (int32_t run = self->special_runs[special]; run < self->special_runs[special + 1]; run++) {
        Py_ssize_t length = self->run_at[run + 1] - self->run_at[run];
        const char *found = find(target + at, end - at, self->pool + self->run_at[run], length);
        if (found == NULL) return 0;
        at = found - target + length;
    }
    return at <= end;
}

static int improve(Matcher *self, int improved, int32_t number, int32_t first, int32_t last) {
    if (!improved) memcpy(self->scratch, self->keys + (size_t)number * self->tables, sizeof(int32_t) * (size_t)self->tables);
    for (int32_t at = first; at < last; at++) {
        int32_t *rank = self->scratch + self->rank_table[at];
        if (self->rank_rank[at] < *rank || *rank == UNKNOWN) *rank = self->rank_rank[at];
    }
    return 1;
}

static int32_t match_one(Matcher *self, const char *target, Py_ssize_t size) {
    int32_t number = 0;
    int improved = 0;
    int32_t at = bisect(self, self->prefix_at, self->prefixes, target, size);
    while (at >= 0 && !begins(self, self->prefix_at, at, target, size)) at = self->prefix_over[at];
    if (at >= 0) number = self->prefix_class[at];
    if (self->exacts) {
        at = bisect(self, self->exact_at, self->exacts, target, size);
        if (at >= 0 && self->exact_at[at + 1] - self->exact_at[at] == size && begins(self, self->exact_at, at, target, size))
            improved = improve(self, improved, number, self->exact_ranks[at], self->exact_ranks[at + 1]);
    }
    if (self->heads) {
        at = bisect(self, self->head_at, self->heads, target, size);
        Pairs pairs = {0, 0};
        int paired = 0;
        for (; at >= 0; at = self->head_over[at]) {
            if (!begins(self, self->head_at, at, target, size)) continue;
            if (!paired) pairs_add(&pairs, target, size);
            paired = 1;
            Py_ssize_t start = self->head_at[at + 1] - self->head_at[at];
            for (int32_t special = self->head_specials[at]; special < self->head_specials[at + 1]; special++)
                if (pairs_within(&self->special_pairs[special], &pairs) && special_matches(self, special, start, target, size))
                    improved = improve(self, improved, number, self->special_ranks[special], self->special_ranks[special + 1]);
        }
    }
    return improved ? number_of(self, self->scratch) : number;
}

/* Whether numbers rise from a least to a greatest, so that they can be places in something of that size. */
static int rising(const int32_t *numbers, int32_t count, int32_t greatest) {
    if (numbers[0] < 0 || numbers[count] > greatest) return 0;
    for (int32_t at = 0; at < count; at++)
        if (numbers[at] > numbers[at + 1]) return 0;
    return 1;
}

static int within(const int32_t *numbers, int32_t count, int32_t least, int32_t beyond) {
    for (int32_t at = 0; at < count; at++)
        if (numbers[at] < least || numbers[at] >= beyond) return 0;
    return 1;
}

/* Whether every link leads to an earlier entry, so that following them ends. */
static int earlier(const int32_t *links, int32_t count) {
    for (int32_t at = 0; at < count; at++)
        if (links[at] < UNKNOWN || links[at] >= at) return 0;
    return 1;
}

/* Note for each special pattern the pairs of bytes that its runs and its tail hold. */
static int pair(Matcher *self, int32_t specials) {
    self->special_pairs = PyMem_Calloc((size_t)specials + 1, sizeof(Pairs));
    if (!self->special_pairs) {
        PyErr_NoMemory();
        return -1;
    }
    for (int32_t special = 0; special < specials; special++) {
        Pairs *pairs = &self->special_pairs[special];
        const int32_t *at = self->run_at;
        int32_t tail = self->special_tail[special];
        for (int32_t run = self->special_runs[special]; run < self->special_runs[special + 1]; run++)
            pairs_add(pairs, self->pool + at[run], at[run + 1] - at[run]);
        if (tail != UNKNOWN) pairs_add(pairs, self->pool + at[tail], at[tail + 1] - at[tail]);
    }
    return 0;
}

#define HEADER 9

static int unpack(Matcher *self, int32_t *known) {
    Py_ssize_t size = self->flat.len;
    const int32_t *head = self->flat.buf;
    if (size < (Py_ssize_t)(HEADER * sizeof(int32_t)) || (uintptr_t)head % sizeof(int32_t)) return 0;
    for (int at = 0; at < HEADER; at++)
        if (head[at] < 0 || head[at] > (1 << 28)) return 0;
    int32_t tables = head[0], keys = head[1], prefixes = head[2], exacts = head[3], heads = head[4];
    int32_t specials = head[5], runs = head[6], ranks = head[7], pool = head[8];
    int64_t numbers = HEADER + (int64_t)tables * keys + 3LL * prefixes + 1 + 2LL * exacts + 2 + 3LL * heads + 2 +
                      3LL * specials + 2 + runs + 1 + 2LL * ranks;
    if (numbers * 4 + pool != size || keys < 1) return 0;
    const int32_t *at = head + HEADER;
    const int32_t *first = at; at += (int64_t)tables * keys;
    self->prefix_at = at; at += prefixes + 1;
    self->prefix_over = at; at += prefixes;
    self->prefix_class = at; at += prefixes;
    self->exact_at = at; at += exacts + 1;
    self->exact_ranks = at; at += exacts + 1;
    self->head_at = at; at += heads + 1;
    self->head_over = at; at += heads;
    self->head_specials = at; at += heads + 1;
    self->special_runs = at; at += specials + 1;
    self->special_tail = at; at += specials;
    self->special_ranks = at; at += specials + 1;
    self->run_at = at; at += runs + 1;
    self->rank_table = at; at += ranks;
    self->rank_rank = at; at += ranks;
    self->pool = (const char *)at;
    self->tables = tables; self->prefixes = prefixes; self->exacts = exacts; self->heads = heads;
    if (!rising(self->prefix_at, prefixes, pool) || !rising(self->exact_at, exacts, pool) ||
        !rising(self->head_at, heads, pool) || !rising(self->run_at, runs, pool) ||
        !rising(self->exact_ranks, exacts, ranks) || !rising(self->head_specials, heads, specials) ||
        !rising(self->special_runs, specials, runs) || !rising(self->special_ranks, specials, ranks) ||
        !earlier(self->prefix_over, prefixes) || !earlier(self->head_over, heads) ||
        !within(self->prefix_class, prefixes, 0, keys) || !within(self->special_tail, specials, UNKNOWN, runs) ||
        !within(self->rank_table, ranks, 0, tables) || !within(self->rank_rank, ranks, 0, INT32_MAX) ||
        !within(first, tables * keys, UNKNOWN, INT32_MAX))
        return 0;
    *known = keys;
    self->count = 0;
    if (grow(self, keys < 4 ? 4 : keys) < 0 || pair(self, specials) < 0) return -1;
    self->scratch = PyMem_Malloc(sizeof(int32_t) * (size_t)(tables ? tables : 1));
    if (!self->scratch) {
        PyErr_NoMemory();
        return -1;
    }
    for (int32_t key = 0; key < keys; key++)
        if (number_of(self, first + (int64_t)key * tables) != key) return PyErr_Occurred() ? -1 : 0;
    return 1;
}

static void matcher_dealloc(Matcher *self) {
    if (self->flat.obj) PyBuffer_Release(&self->flat);
    Py_XDECREF(self->theirs);
    PyMem_Free(self->keys);
    PyMem_Free(self->outcomes);
    PyMem_Free(self->slots);
    PyMem_Free(self->scratch);
    PyMem_Free(self->special_pairs);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *matcher_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    PyObject *flat;
    if (!PyArg_ParseTuple(arguments, "O", &flat)) return NULL;
    Matcher *self = (Matcher *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    if (PyObject_GetBuffer(flat, &self->flat, PyBUF_SIMPLE) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    int32_t known = 0;
    int whole = unpack(self, &known);
    if (whole > 0) return (PyObject *)self;
    Py_DECREF(self);
    if (whole == 0) PyErr_SetString(PyExc_ValueError, "not the flat form of a matcher");
    return NULL;
}

static PyObject *matcher_match(Matcher *self, PyObject *argument) {
    Py_ssize_t size;
    const char *target = PyUnicode_AsUTF8AndSize(argument, &size);
    if (target == NULL) return NULL;
    int32_t number = match_one(self, target, size);
    return number < 0 ? NULL : PyLong_FromLong(number);
}

static int32_t checked(Matcher *self, long number) {
    if (number >= 0 && number < self->count) return (int32_t)number;
    PyErr_SetString(PyExc_IndexError, "no such combination");
    return -1;
}

static PyObject *matcher_key(Matcher *self, PyObject *argument) {
    long asked = PyLong_AsLong(argument);
    if (asked == -1 && PyErr_Occurred()) return NULL;
    int32_t number = checked(self, asked);
    if (number < 0) return NULL;
    PyObject *key = PyTuple_New(self->tables);
    for (int32_t table = 0; key && table < self->tables; table++) {
        PyObject *rank = PyLong_FromLong(self->keys[(size_t)number * self->tables + table]);
        if (rank == NULL) Py_CLEAR(key);
        else PyTuple_SET_ITEM(key, table, rank);
    }
    return key;
}

static PyObject *matcher_put(Matcher *self, PyObject *arguments) {
    long asked;
    int outcome, permits, doubted;
    if (!PyArg_ParseTuple(arguments, "lipp", &asked, &outcome, &permits, &doubted)) return NULL;
    int32_t number = checked(self, asked);
    if (number < 0) return NULL;
    if (outcome < 0 || outcome > INT32_MAX / 4) {
        PyErr_SetString(PyExc_ValueError, "not the number of an outcome");
        return NULL;
    }
    self->outcomes[number] = 4 * outcome + (permits ? PERMITS : 0) + (doubted ? DOUBTED : 0);
    Py_RETURN_NONE;
}

static PyObject *matcher_ask(Matcher *self, PyObject *theirs) {
    if (!PyObject_TypeCheck(theirs, Py_TYPE(self))) {
        PyErr_SetString(PyExc_TypeError, "not a matcher");
        return NULL;
    }
    Py_INCREF(theirs);
    Py_XSETREF(self->theirs, theirs);
    Py_RETURN_NONE;
}

static Py_ssize_t matcher_length(Matcher *self) { return self->count; }

static PyMethodDef matcher_methods[] = {
    {"match", (PyCFunction)matcher_match, METH_O, "The number of the combination of ranks for a target."},
    {"key", (PyCFunction)matcher_key, METH_O, "The ranks of a combination."},
    {"put", (PyCFunction)matcher_put, METH_VARARGS,
     "put(combination, outcome, permits, doubted): say what one comes to, and whether a second reader may differ."},
    {"ask", (PyCFunction)matcher_ask, METH_O, "Leave what a second reader's refusals match in its own way to Python."},
    {NULL, NULL, 0, NULL}};

static PySequenceMethods matcher_sequence = {.sq_length = (lenfunc)matcher_length};

static PyTypeObject MatcherType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "optout.audit._kernel.Matcher",
    .tp_basicsize = sizeof(Matcher),
    .tp_dealloc = (destructor)matcher_dealloc,
    .tp_as_sequence = &matcher_sequence,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "All path rules of an origin, from their flat form.",
    .tp_methods = matcher_methods,
    .tp_new = matcher_new,
};

/* ---- A column ---- */

typedef struct {
    Py_buffer data, offsets;
    Py_ssize_t rows;
    int wide;
} Column;

static int64_t place(const Column *column, Py_ssize_t row) {
    return column->wide ? ((const int64_t *)column->offsets.buf)[row] : ((const int32_t *)column->offsets.buf)[row];
}

static int column_open(Column *column, PyObject *data, PyObject *offsets) {
    if (PyObject_GetBuffer(data, &column->data, PyBUF_SIMPLE) < 0) return -1;
    if (PyObject_GetBuffer(offsets, &column->offsets, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) {
        PyBuffer_Release(&column->data);
        return -1;
    }
    column->wide = column->offsets.itemsize == 8;
    column->rows = column->offsets.len / column->offsets.itemsize - 1;
    int good = column->wide || column->offsets.itemsize == 4;
    for (Py_ssize_t row = 0; good && row < column->rows; row++)
        good = place(column, row) >= 0 && place(column, row) <= place(column, row + 1);
    if (good && column->rows >= 0 && place(column, column->rows > 0 ? column->rows : 0) <= column->data.len) return 0;
    PyBuffer_Release(&column->data);
    PyBuffer_Release(&column->offsets);
    PyErr_SetString(PyExc_ValueError, "not the offsets of a column");
    return -1;
}

static void column_close(Column *column) {
    PyBuffer_Release(&column->data);
    PyBuffer_Release(&column->offsets);
}

/* ---- Targets that have to be written in their normal form, as optout.urls.match_target does ---- */

typedef struct {
    char *text, *other;
    Py_ssize_t size, room;
    /* Whether Protego sees the same in it, as optout.audit.second.reads_alike tells. */
    int alike;
} Target;

static int hex_value(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    return -1;
}

static int unreserved(int byte) {
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') ||
           byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

/* Escapes of ASCII that both readers keep. */
static int kept_alike(int byte) { return byte <= 0x20 || byte == 0x7F || strchr("\"/<>\\^`{|}", byte) != NULL; }

static const char digits[] = "0123456789ABCDEF";

/* Whether octets are UTF-8 (RFC 3629: shortest forms, no surrogates, nothing beyond U+10FFFF). */
static int utf8(const unsigned char *at, const unsigned char *end) {
    while (at < end) {
        int byte = *at++;
        if (byte < 0x80) continue;
        int more = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : 1;
        if (byte < 0xC2 || byte > 0xF4 || end - at < more) return 0;
        int least = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80, most = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
        if (at[0] < least || at[0] > most) return 0;
        for (int next = 1; next < more; next++)
            if (at[next] < 0x80 || at[next] > 0xBF) return 0;
        at += more;
    }
    return 1;
}

/* Make room for a text, its escapes and its octets; -1 where there is no memory. */
static int target_room(Target *target, Py_ssize_t size) {
    if (target->room >= size) return 0;
    char *text = PyMem_Realloc(target->text, (size_t)(3 * size));
    if (text) target->text = text;
    char *other = PyMem_Realloc(target->other, (size_t)(9 * size));
    if (other) target->other = other;
    if (!text || !other) {
        PyErr_NoMemory();
        return -1;
    }
    target->room = size;
    return 0;
}

#define WIDTH 16

/* Whether any of sixteen octets is more than zero. */
static int any(const unsigned char *octets) {
    uint64_t words[WIDTH / 8];
    memcpy(words, octets, WIDTH);
    return (words[0] | words[1]) != 0;
}

static inline void dots_within(const char *text, unsigned char *dots) {
    for (int at = 0; at < WIDTH; at++) dots[at] |= (text[at] == '/') & (text[at + 1] == '.');
}

/* Whether a segment begins with a dot; only those can be dot segments, which are walked before a URL is judged. */
static int dotted(const char *text, const char *end) {
    unsigned char dots[WIDTH] = {0};
    if (end - text > WIDTH) {
        dots_within(end - WIDTH - 1, dots);
        for (; end - text > WIDTH; text += WIDTH) dots_within(text, dots);
        return any(dots);
    }
    for (; end - text > 1; text++)
        if (text[0] == '/' && text[1] == '.') return 1;
    return 0;
}

/* Write the normal form of what follows the third slash; -1 where there is no memory. */
static int normalise(Target *target, const char *text, Py_ssize_t size) {
    const char *fragment = memchr(text, '#', (size_t)size);
    if (fragment) size = fragment - text;
    if (target_room(target, size) < 0) return -1;
    char *out = target->text;
    unsigned char *octets = (unsigned char *)target->other;
    Py_ssize_t octet = 0;
    int beyond = 0;
    target->alike = 1;
    for (Py_ssize_t at = 0; at < size; at++) {
        int byte = (unsigned char)text[at], escape = 0;
        if (byte == '%') {
            int high = at + 2 < size ? hex_value(text[at + 1]) : -1, low = high < 0 ? -1 : hex_value(text[at + 2]);
            if (low >= 0) {
                byte = high * 16 + low;
                at += 2;
                escape = !unreserved(byte);
            } else escape = 1;
        } else escape = byte <= 0x20 || byte >= 0x7F || byte == '*' || byte == '$';
        octets[octet++] = (unsigned char)byte;
        if (!escape) {
            *out++ = (char)byte;
            continue;
        }
        if (byte >= 0x80) beyond = 1;
        else if (!kept_alike(byte)) target->alike = 0;
        *out++ = '%';
        *out++ = digits[byte >> 4];
        *out++ = digits[byte & 15];
    }
    target->size = out - target->text;
    /* Protego puts a mark for octets that are no UTF-8; then only Python tells what it sees. */
    if (beyond && !utf8(octets, octets + octet)) target->alike = -1;
    return 0;
}

/* Write what follows the third slash as Protego does, as optout.audit.second.their_form tells, and give its size. */
static Py_ssize_t their_form(Target *target, const char *text, Py_ssize_t size) {
    char *out = target->other;
    const char *fragment = memchr(text, '#', (size_t)size);
    if (fragment) size = fragment - text;
    for (Py_ssize_t at = 0; at < size; at++) {
        int byte = (unsigned char)text[at], kept = byte == '%';
        if (kept) {
            int high = at + 2 < size ? hex_value(text[at + 1]) : -1, low = high < 0 ? -1 : hex_value(text[at + 2]);
            if (low >= 0) {
                byte = high * 16 + low;
                at += 2;
                kept = 0;
            }
        }
        if (kept || unreserved(byte) || byte == '=' || (byte == '/' && text[at] == '/')) *out++ = (char)byte;
        else {
            *out++ = '%';
            *out++ = digits[byte >> 4];
            *out++ = digits[byte & 15];
        }
    }
    return out - target->other;
}

/* Whether a refusal of the second reader matches a URL as it writes it; -1 where there is no memory. */
static int refused(Matcher *theirs, Target *target, const char *text, Py_ssize_t size) {
    if (target_room(target, size) < 0) return -1;
    int32_t number = match_one(theirs, target->other, their_form(target, text, size));
    return number < 0 ? -1 : number > 0;
}

/* Said of a row that is left to Python as a whole. */
#define LEFT INT32_MIN

/* What a row comes to: its outcome, or -2 less its combination where Python has to say; UNKNOWN where memory is short. */
static int32_t outcome_of(Matcher *self, Target *target, const char *text, Py_ssize_t size, int odd) {
    target->alike = 1;
    if (odd && normalise(target, text, size) < 0) return UNKNOWN;
    if (odd && dotted(target->text, target->text + target->size)) return LEFT;
    int32_t number = odd ? match_one(self, target->text, target->size) : match_one(self, text, size);
    if (number < 0) return UNKNOWN;
    int32_t outcome = self->outcomes[number];
    if (outcome < 0) return -2 - number;
    if (outcome & PERMITS && self->theirs && (outcome & DOUBTED || target->alike != 1)) {
        int ask = target->alike < 0 ? 1 : refused((Matcher *)self->theirs, target, text, size);
        if (ask) return ask < 0 ? UNKNOWN : -2 - number;
    }
    return outcome >> 2;
}

#define AHEAD 8

/* What follows the third slash of a row; `odd` where that is not in normal form. */
typedef struct { const char *text; int32_t size, row; int odd; } Tail;

/* How many rows each matcher has, counted up: where the first row of each is to stand, and the number of all. */
static int32_t count_up(const int32_t *slot, const int32_t *start, int32_t rows, int32_t many, int32_t *firsts) {
    for (int32_t row = 0; row < rows; row++)
        if (slot[row] >= 0 && slot[row] < many && start[row] != UNKNOWN) firsts[slot[row] + 1]++;
    for (int32_t at = 0; at < many; at++) firsts[at + 1] += firsts[at];
    return firsts[many];
}

/* Put the rows that have a matcher in the order of their matchers, because each of these lies elsewhere in memory. In
 * the end `lasts` tells where the rows of each end. A tail of less than nothing stands for a damaged start. */
static void in_order(const Column *column, const int32_t *slot, const int32_t *start, int32_t many, int32_t *lasts, Tail *tails) {
    for (int32_t row = 0; row < (int32_t)column->rows; row++) {
        if (slot[row] < 0 || slot[row] >= many || start[row] == UNKNOWN) continue;
        int32_t begin = start[row] < 0 ? -2 - start[row] : start[row];
        int64_t first = place(column, row), size = place(column, row + 1) - first - begin;
        tails[lasts[slot[row]]++] = (Tail){(const char *)column->data.buf + first + begin, size > INT32_MAX ? -1 : (int32_t)size, row, start[row] < 0};
    }
}

/* Put in what rows come to; UNKNOWN in a row means that there was no memory, and ends it. */
static int outcomes(PyObject *matchers, const int32_t *lasts, int32_t many, const Tail *tails, int32_t *result) {
    Target target = {NULL, NULL, 0, 0, 0};
    int32_t at = 0, count = many ? lasts[many - 1] : 0;
    int good = 1;
    for (int32_t slot = 0; good && slot < many; slot++) {
        PyObject *item = PyList_GET_ITEM(matchers, slot);
        if (!Py_IS_TYPE(item, &MatcherType)) at = lasts[slot];
        for (; good && at < lasts[slot]; at++) {
            if (at + AHEAD < count) {
                __builtin_prefetch(tails[at + AHEAD].text);
                __builtin_prefetch(tails[at + AHEAD].text + 64);
                __builtin_prefetch(&result[tails[at + AHEAD].row], 1);
            }
            const Tail *tail = &tails[at];
            if (tail->size < 0) continue;
            int32_t found = outcome_of((Matcher *)item, &target, tail->text, tail->size, tail->odd);
            if (found != LEFT) result[tail->row] = found;
            good = found != UNKNOWN;
        }
    }
    PyMem_Free(target.text);
    PyMem_Free(target.other);
    return good;
}

static int match_column(PyObject *matchers, const Column *column, const int32_t *slot, const int32_t *start, int32_t *result) {
    int32_t many = (int32_t)PyList_GET_SIZE(matchers);
    int32_t *lasts = PyMem_Calloc((size_t)many + 1, sizeof(int32_t));
    Tail *tails = lasts ? PyMem_Malloc(sizeof(Tail) * ((size_t)count_up(slot, start, (int32_t)column->rows, many, lasts) + 1)) : NULL;
    int good = tails != NULL;
    if (good) {
        in_order(column, slot, start, many, lasts, tails);
        good = outcomes(matchers, lasts, many, tails, result);
    } else PyErr_NoMemory();
    PyMem_Free(tails);
    PyMem_Free(lasts);
    return good;
}

static PyObject *match(PyObject *module, PyObject *arguments) {
    PyObject *matchers, *data, *offsets;
    Py_buffer slots, starts, out;
    if (!PyArg_ParseTuple(arguments, "O!y*y*OOw*", &PyList_Type, &matchers, &slots, &starts, &data, &offsets, &out))
        return NULL;
    Column column;
    int good = 0;
    if (column_open(&column, data, offsets) == 0) {
        good = slots.len >= 4 * column.rows && starts.len >= 4 * column.rows && out.len >= 4 * column.rows &&
               column.rows < INT32_MAX && PyList_GET_SIZE(matchers) < INT32_MAX;
        if (!good) PyErr_SetString(PyExc_ValueError, "not as long as the column");
        /* Without a matcher or a start, a row is the Python tier's: its outcome stays as it is. */
        else good = match_column(matchers, &column, slots.buf, starts.buf, out.buf);
        column_close(&column);
    }
    PyBuffer_Release(&slots);
    PyBuffer_Release(&starts);
    PyBuffer_Release(&out);
    if (!good) return NULL;
    Py_RETURN_NONE;
}

/* ---- Beginnings: the texts before the third slash, numbered in the order of their coming ---- */

/* Not in normal form; and what is not judged as it is written. */
#define ODD 1
#define DROPPED 2

typedef struct { int64_t at; int32_t length; } Span;

typedef struct {
    PyObject_HEAD
    char *pool;
    int64_t used, held;
    Span *spans;
    int32_t *slots;
    int32_t count, room, mask;
} Beginnings;

static int beginnings_grow(Beginnings *self, int32_t room) {
    int64_t slots = 64;
    while (slots < 2 * (int64_t)room) slots *= 2;
    int32_t *table = PyMem_Realloc(self->slots, sizeof(int32_t) * (size_t)slots);
    if (table) self->slots = table;
    Span *spans = PyMem_Realloc(self->spans, sizeof(Span) * (size_t)room);
    if (spans) self->spans = spans;
    if (!table || !spans) {
        PyErr_NoMemory();
        return -1;
    }
    self->room = room;
    self->mask = (int32_t)(slots - 1);
    memset(table, 0xFF, sizeof(int32_t) * (size_t)slots);
    for (int32_t number = 0; number < self->count; number++) {
        uint64_t slot = hashed(self->pool + spans[number].at, (size_t)spans[number].length);
        while (table[slot & (uint64_t)self->mask] != UNKNOWN) slot++;
        table[slot & (uint64_t)self->mask] = number;
    }
    return 0;
}

static int same(const Beginnings *self, int32_t number, const char *text, int32_t length) {
    const Span *span = &self->spans[number];
    return span->length == length && memcmp(self->pool + span->at, text, (size_t)length) == 0;
}

static int32_t beginnings_add(Beginnings *self, const char *text, int32_t length) {
    if (self->count >= 1 << 29) {
        PyErr_SetString(PyExc_OverflowError, "too many beginnings");
        return UNKNOWN - 1;
    }
    if (self->count == self->room && beginnings_grow(self, self->room ? 2 * self->room : 1024) < 0) return UNKNOWN - 1;
    if (self->used + length > self->held) {
        int64_t held = 2 * (self->used + length) + 4096;
        char *pool = PyMem_Realloc(self->pool, (size_t)held);
        if (pool == NULL) {
            PyErr_NoMemory();
            return UNKNOWN - 1;
        }
        self->pool = pool;
        self->held = held;
    }
    memcpy(self->pool + self->used, text, (size_t)length);
    self->spans[self->count] = (Span){self->used, length};
    self->used += length;
    uint64_t slot = hashed(text, (size_t)length);
    while (self->slots[slot & (uint64_t)self->mask] != UNKNOWN) slot++;
    self->slots[slot & (uint64_t)self->mask] = self->count;
    return self->count++;
}

static const char *third_slash(const char *text, const char *end) {
    Py_ssize_t size = end - text;
    const char *at = text;
    int seen = 0;
    if (size > 8 && memcmp(text, "https://", 8) == 0) at += 8, seen = 2;
    for (; seen < 3; seen++, at++) {
        at = at < end ? memchr(at, '/', (size_t)(end - at)) : NULL;
        if (at == NULL || seen == 2) return at;
    }
    return NULL;
}

/* What sixteen octets hold, gathered place by place; compilers look at all sixteen at a time. */
static inline void kinds_within(const char *text, unsigned char *odd, unsigned char *dropped) {
    for (int at = 0; at < WIDTH; at++) {
        unsigned char byte = (unsigned char)text[at];
        odd[at] |= (byte < 0x21) | (byte > 0x7E) | (byte == '#') | (byte == '$') | (byte == '%') | (byte == '*');
        dropped[at] |= (byte == '\t') | (byte == '\n') | (byte == '\r');
    }
}

/* What octets hold; the last sixteen are looked at together, though some of them a second time. */
static int kinds(const char *text, const char *end) {
    unsigned char odd[WIDTH] = {0}, dropped[WIDTH] = {0};
    if (end - text < WIDTH) {
        char few[WIDTH];
        memset(few, 'a', WIDTH);
        memcpy(few, text, (size_t)(end - text));
        kinds_within(few, odd, dropped);
    } else {
        kinds_within(end - WIDTH, odd, dropped);
        for (; end - text > WIDTH; text += WIDTH) kinds_within(text, odd, dropped);
    }
    return (any(odd) ? ODD : 0) | (any(dropped) ? DROPPED : 0);
}

/* The number of a text, which becomes the next one where it is new; UNKNOWN where it is not in normal form, and less
 * than that where there is no memory. */
static int32_t beginnings_number(Beginnings *self, const char *text, int32_t length, uint64_t hash) {
    if (self->room)
        for (uint64_t slot = hash;; slot++) {
            int32_t number = self->slots[slot & (uint64_t)self->mask];
            if (number == UNKNOWN) break;
            if (same(self, number, text, length)) return number;
        }
    return kinds(text, text + length) ? UNKNOWN : beginnings_add(self, text, length);
}

/* A row that has something before a third slash. */
typedef struct { const char *text; uint64_t hash; int32_t length, start; Py_ssize_t row; } Beginning;

/* Cut a row; 0 where it has no beginning. */
static int cut(const Column *column, Py_ssize_t row, int longest, Beginning *found) {
    const char *text = (const char *)column->data.buf + place(column, row);
    const char *end = (const char *)column->data.buf + place(column, row + 1);
    if (end - text > longest) return 0;
    const char *slash = third_slash(text, end);
    if (slash == NULL) return 0;
    int32_t length = (int32_t)(slash - text);
    *found = (Beginning){text, hashed(text, (size_t)length), length, UNKNOWN, row};
    int after = kinds(slash, end);
    int left = after & DROPPED || (unsigned char)end[-1] <= 0x20 || dotted(slash, end);
    found->start = left ? UNKNOWN : after ? -2 - length : length;
    return 1;
}

#define AT_ONCE 32

/* Number the beginnings of a column, a few rows at a time, so that fetching what one row needs does not hold up the
 * next; 0 where there is no memory. */
static int number_column(Beginnings *self, const Column *column, int longest, int32_t *code, int32_t *start) {
    Beginning found[AT_ONCE];
    for (Py_ssize_t row = 0; row < column->rows;) {
        int count = 0;
        for (Py_ssize_t beyond = row + AT_ONCE; row < beyond && row < column->rows; row++) {
            code[row] = start[row] = UNKNOWN;
            count += cut(column, row, longest, &found[count]);
            if (count && self->room) __builtin_prefetch(&self->slots[found[count - 1].hash & (uint64_t)self->mask]);
        }
        for (int at = 0; at < count; at++) {
            const Beginning *one = &found[at];
            int32_t number = beginnings_number(self, one->text, one->length, one->hash);
            if (number < UNKNOWN) return 0;
            code[one->row] = number;
            if (number != UNKNOWN) start[one->row] = one->start;
        }
    }
    return 1;
}

/* The beginnings from a number on, as a list of strings. */
static PyObject *beginnings_from(const Beginnings *self, int32_t first) {
    PyObject *result = PyList_New(self->count - first);
    for (int32_t number = first; result && number < self->count; number++) {
        const Span *span = &self->spans[number];
        PyObject *text = PyUnicode_FromStringAndSize(self->pool + span->at, span->length);
        if (text == NULL) Py_CLEAR(result);
        else PyList_SET_ITEM(result, number - first, text);
    }
    return result;
}

static PyObject *beginnings_locate(Beginnings *self, PyObject *arguments) {
    PyObject *data, *offsets, *result = NULL;
    Py_buffer codes, starts;
    int longest;
    if (!PyArg_ParseTuple(arguments, "OOw*w*i", &data, &offsets, &codes, &starts, &longest)) return NULL;
    Column column;
    if (column_open(&column, data, offsets) == 0) {
        int32_t before = self->count;
        int fitting = codes.len >= 4 * column.rows && starts.len >= 4 * column.rows;
        if (!fitting) PyErr_SetString(PyExc_ValueError, "not as long as the column");
        else if (number_column(self, &column, longest, codes.buf, starts.buf)) result = beginnings_from(self, before);
        column_close(&column);
    }
    PyBuffer_Release(&codes);
    PyBuffer_Release(&starts);
    return result;
}

static void beginnings_dealloc(Beginnings *self) {
    PyMem_Free(self->pool);
    PyMem_Free(self->spans);
    PyMem_Free(self->slots);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static Py_ssize_t beginnings_length(Beginnings *self) { return self->count; }

static PyMethodDef beginnings_methods[] = {
    {"locate", (PyCFunction)beginnings_locate, METH_VARARGS,
     "locate(data, offsets, codes, starts, longest): number the texts before the third slash, and list the new ones."},
    {NULL, NULL, 0, NULL}};

static PySequenceMethods beginnings_sequence = {.sq_length = (lenfunc)beginnings_length};

static PyTypeObject BeginningsType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "optout.audit._kernel.Beginnings",
    .tp_basicsize = sizeof(Beginnings),
    .tp_dealloc = (destructor)beginnings_dealloc,
    .tp_as_sequence = &beginnings_sequence,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "The texts before the third slash of URLs, numbered in the order of their coming.",
    .tp_methods = beginnings_methods,
    .tp_new = PyType_GenericNew,
};

static PyMethodDef functions[] = {
    {"match", match, METH_VARARGS,
     "match(matchers, slots, starts, data, offsets, out): put the outcome of each row into `out`, or -2 - combination."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernel", "The compiled tier of the audit.", -1, functions};

PyMODINIT_FUNC PyInit__kernel(void) {
    PyObject *made = PyModule_Create(&module);
    if (made == NULL) return NULL;
    if (PyModule_AddType(made, &MatcherType) < 0 || PyModule_AddType(made, &BeginningsType) < 0 ||
        PyModule_AddIntConstant(made, "EDITION", EDITION) < 0)
        Py_CLEAR(made);
    return made;
}
