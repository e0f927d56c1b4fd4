/* The compiled tier of the audit: finding origins and matching paths for a whole column of URLs.
 *
 * It means exactly what optout/audit/locate.py and optout/audit/matcher.py mean, and one set of tests holds all three
 * equal. A URL with white space or controls in it, or one whose beginning does not tell its origin, is left to Python.
 *
 * `locate` cuts a column at the third slash and numbers the distinct beginnings. A `Matcher` is the flat form of
 * `optout.audit.matcher.Matcher`: an array of 32-bit numbers followed by all strings, as `flat.py` writes it. Every
 * place in it is checked when it is made, so that a damaged file cannot make `match` read outside of it.
 */

#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define UNKNOWN (-1)

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
    PyObject *flat;
    const char *pool;
    int32_t tables, prefixes, exacts, heads;
    const int32_t *prefix_at, *prefix_over, *prefix_class;
    const int32_t *exact_at, *exact_ranks;
    const int32_t *head_at, *head_over, *head_specials;
    const int32_t *special_runs, *special_tail, *special_ranks;
    const int32_t *run_at, *rank_table, *rank_rank;
    /* The combinations of ranks by number; their outcomes; and a table to find them by. */
    int32_t *keys, *outcomes, *slots;
    int32_t count, room, mask;
    int32_t *scratch;
    /* Whether a second reader has to be asked about targets that it reads differently. */
    int asks;
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
        for (; at >= 0; at = self->head_over[at]) {
            if (!begins(self, self->head_at, at, target, size)) continue;
            Py_ssize_t start = self->head_at[at + 1] - self->head_at[at];
            for (int32_t special = self->head_specials[at]; special < self->head_specials[at + 1]; special++)
                if (special_matches(self, special, start, target, size))
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

#define HEADER 9

static int unpack(Matcher *self, int32_t *known) {
    const char *data = PyBytes_AS_STRING(self->flat);
    Py_ssize_t size = PyBytes_GET_SIZE(self->flat);
    const int32_t *head = (const int32_t *)data;
    if (size < (Py_ssize_t)(HEADER * sizeof(int32_t))) return 0;
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
    if (grow(self, keys < 4 ? 4 : keys) < 0) return -1;
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
    Py_XDECREF(self->flat);
    PyMem_Free(self->keys);
    PyMem_Free(self->outcomes);
    PyMem_Free(self->slots);
    PyMem_Free(self->scratch);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *matcher_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    PyObject *flat;
    if (!PyArg_ParseTuple(arguments, "S", &flat)) return NULL;
    Matcher *self = (Matcher *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    Py_INCREF(flat);
    self->flat = flat;
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
    int outcome;
    if (!PyArg_ParseTuple(arguments, "li", &asked, &outcome)) return NULL;
    int32_t number = checked(self, asked);
    if (number < 0) return NULL;
    self->outcomes[number] = outcome;
    Py_RETURN_NONE;
}

static PyObject *matcher_ask(Matcher *self, PyObject *unused) {
    self->asks = 1;
    Py_RETURN_NONE;
}

static Py_ssize_t matcher_length(Matcher *self) { return self->count; }

static PyMethodDef matcher_methods[] = {
    {"match", (PyCFunction)matcher_match, METH_O, "The number of the combination of ranks for a target."},
    {"key", (PyCFunction)matcher_key, METH_O, "The ranks of a combination."},
    {"put", (PyCFunction)matcher_put, METH_VARARGS, "Say what a combination comes to."},
    {"ask", (PyCFunction)matcher_ask, METH_NOARGS, "Leave targets that a second reader reads differently to Python."},
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
} Column;

static int column_open(Column *column, PyObject *data, PyObject *offsets) {
    if (PyObject_GetBuffer(data, &column->data, PyBUF_SIMPLE) < 0) return -1;
    if (PyObject_GetBuffer(offsets, &column->offsets, PyBUF_SIMPLE) < 0) {
        PyBuffer_Release(&column->data);
        return -1;
    }
    column->rows = column->offsets.len / 4 - 1;
    const int32_t *at = column->offsets.buf;
    for (Py_ssize_t row = 0; row < column->rows; row++)
        if (at[row] < 0 || at[row] > at[row + 1] || at[row + 1] > column->data.len) {
            PyBuffer_Release(&column->data);
            PyBuffer_Release(&column->offsets);
            PyErr_SetString(PyExc_ValueError, "not the offsets of a column");
            return -1;
        }
    return 0;
}

static void column_close(Column *column) {
    PyBuffer_Release(&column->data);
    PyBuffer_Release(&column->offsets);
}

/* ---- Targets that have to be written in their normal form, as optout.urls.match_target does ---- */

typedef struct {
    char *text;
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

static int utf8(const unsigned char *at, Py_ssize_t size) {
    PyObject *text = PyUnicode_DecodeUTF8((const char *)at, size, NULL);
    if (text == NULL) {
        PyErr_Clear();
        return 0;
    }
    Py_DECREF(text);
    return 1;
}

/* Write the normal form of what follows the third slash; -1 where there is no memory. */
static int normalise(Target *target, const char *text, Py_ssize_t size) {
    static const char digits[] = "0123456789ABCDEF";
    const char *fragment = memchr(text, '#', (size_t)size);
    if (fragment) size = fragment - text;
    if (target->room < 4 * size) {
        char *grown = PyMem_Realloc(target->text, (size_t)(4 * size));
        if (grown == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        target->text = grown;
        target->room = 4 * size;
    }
    /* The octets that the escapes stand for are written behind the text, to see whether they are UTF-8. */
    char *out = target->text;
    unsigned char *octets = (unsigned char *)target->text + 3 * size;
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
        } else escape = byte >= 0x7F || byte == '*' || byte == '$';
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
    if (target->alike && beyond) target->alike = utf8(octets, octet);
    return 0;
}

static PyObject *match(PyObject *module, PyObject *arguments) {
    PyObject *matchers, *data, *offsets;
    Py_buffer slots, starts, out;
    if (!PyArg_ParseTuple(arguments, "O!y*y*OOw*", &PyList_Type, &matchers, &slots, &starts, &data, &offsets, &out))
        return NULL;
    Column column;
    int good = 0;
    if (column_open(&column, data, offsets) == 0) {
        const int32_t *slot = slots.buf, *start = starts.buf, *at = column.offsets.buf;
        int32_t *result = out.buf;
        Target target = {NULL, 0, 0, 0};
        Py_ssize_t many = PyList_GET_SIZE(matchers);
        good = slots.len >= 4 * column.rows && starts.len >= 4 * column.rows && out.len >= 4 * column.rows;
        if (!good) PyErr_SetString(PyExc_ValueError, "not as long as the column");
        for (Py_ssize_t row = 0; good && row < column.rows; row++) {
            /* Without a matcher or a start, the row is the Python tier's: its outcome stays as it is. */
            if (slot[row] < 0 || slot[row] >= many || start[row] == UNKNOWN) continue;
            PyObject *item = PyList_GET_ITEM(matchers, slot[row]);
            int32_t begin = start[row] < 0 ? -2 - start[row] : start[row];
            Py_ssize_t size = (Py_ssize_t)at[row + 1] - at[row] - begin;
            if (size < 0 || !PyObject_TypeCheck(item, &MatcherType)) continue;
            Matcher *matcher = (Matcher *)item;
            const char *text = (const char *)column.data.buf + at[row] + begin;
            if (start[row] < 0) {
                good = normalise(&target, text, size) == 0;
                if (!good || (matcher->asks && !target.alike)) continue;
                text = target.text;
                size = target.size;
            }
            int32_t number = match_one(matcher, text, size);
            if (number < 0) good = 0;
            else result[row] = matcher->outcomes[number] >= 0 ? matcher->outcomes[number] : -2 - number;
        }
        PyMem_Free(target.text);
        column_close(&column);
    }
    PyBuffer_Release(&slots);
    PyBuffer_Release(&starts);
    PyBuffer_Release(&out);
    if (!good) return NULL;
    Py_RETURN_NONE;
}

/* ---- Locating ---- */

static unsigned char plain_byte[256];

typedef struct {
    int32_t *slots, *first, *length;
    int32_t count, room, mask;
} Names;

static int names_grow(Names *names, int32_t room, const char *data, const int32_t *at) {
    int32_t slots = 64;
    while (slots < 2 * room) slots *= 2;
    int32_t *table = PyMem_Realloc(names->slots, sizeof(int32_t) * (size_t)slots);
    if (table) names->slots = table;
    int32_t *first = PyMem_Realloc(names->first, sizeof(int32_t) * (size_t)room);
    if (first) names->first = first;
    int32_t *length = PyMem_Realloc(names->length, sizeof(int32_t) * (size_t)room);
    if (length) names->length = length;
    if (!table || !first || !length) {
        PyErr_NoMemory();
        return -1;
    }
    names->room = room;
    names->mask = slots - 1;
    memset(table, 0xFF, sizeof(int32_t) * (size_t)slots);
    for (int32_t name = 0; name < names->count; name++) {
        uint64_t place = hashed(data + at[first[name]], (size_t)length[name]);
        while (table[place & (uint64_t)names->mask] != UNKNOWN) place++;
        table[place & (uint64_t)names->mask] = name;
    }
    return 0;
}

static int32_t names_number(Names *names, const char *data, const int32_t *at, int32_t row, int32_t length) {
    const char *text = data + at[row];
    uint64_t place = hashed(text, (size_t)length);
    for (;; place++) {
        int32_t name = names->slots[place & (uint64_t)names->mask];
        if (name == UNKNOWN) break;
        if (names->length[name] == length && memcmp(data + at[names->first[name]], text, (size_t)length) == 0) return name;
    }
    if (names->count == names->room) {
        if (names_grow(names, 2 * names->room, data, at) < 0) return -1;
        place = hashed(text, (size_t)length);
        while (names->slots[place & (uint64_t)names->mask] != UNKNOWN) place++;
    }
    names->first[names->count] = row;
    names->length[names->count] = length;
    names->slots[place & (uint64_t)names->mask] = names->count;
    return names->count++;
}

static PyObject *locate(PyObject *module, PyObject *arguments) {
    PyObject *data, *offsets, *result = NULL;
    Py_buffer codes, starts;
    int longest;
    if (!PyArg_ParseTuple(arguments, "OOw*w*i", &data, &offsets, &codes, &starts, &longest)) return NULL;
    Column column;
    Names names = {NULL, NULL, NULL, 0, 0, 0};
    if (column_open(&column, data, offsets) == 0) {
        const int32_t *at = column.offsets.buf;
        const char *bytes = column.data.buf;
        int32_t *code = codes.buf, *start = starts.buf;
        int good = codes.len >= 4 * column.rows && starts.len >= 4 * column.rows && column.rows < INT32_MAX;
        if (!good) PyErr_SetString(PyExc_ValueError, "not as long as the column");
        good = good && names_grow(&names, 1024, bytes, at) == 0;
        int32_t last = UNKNOWN;
        for (int32_t row = 0; good && row < (int32_t)column.rows; row++) {
            const char *text = bytes + at[row], *end = bytes + at[row + 1], *slash = text;
            code[row] = start[row] = UNKNOWN;
            if (end - text > longest) continue;
            for (int found = 0; found < 3 && slash != NULL; found++) {
                slash = memchr(slash, '/', (size_t)(end - slash));
                if (slash != NULL && found < 2) slash++;
            }
            if (slash == NULL) continue;
            int32_t length = (int32_t)(slash - text);
            const char *one = text;
            while (one < end && plain_byte[(unsigned char)*one]) one++;
            if (one < slash) continue;
            if (last == UNKNOWN || names.length[last] != length || memcmp(bytes + at[names.first[last]], text, (size_t)length) != 0)
                last = names_number(&names, bytes, at, row, length);
            if (last < 0) good = 0;
            code[row] = last;
            int blank = 0;
            for (const char *odd = one; odd < end && !blank; odd++) blank = (unsigned char)*odd <= 0x20;
            if (!blank) start[row] = one == end ? length : -2 - length;
        }
        if (good) result = PyList_New(names.count);
        for (int32_t name = 0; result && name < names.count; name++) {
            PyObject *text = PyUnicode_FromStringAndSize(bytes + at[names.first[name]], names.length[name]);
            if (text == NULL) Py_CLEAR(result);
            else PyList_SET_ITEM(result, name, text);
        }
        column_close(&column);
    }
    PyMem_Free(names.slots);
    PyMem_Free(names.first);
    PyMem_Free(names.length);
    PyBuffer_Release(&codes);
    PyBuffer_Release(&starts);
    return result;
}

static PyMethodDef functions[] = {
    {"match", match, METH_VARARGS,
     "match(matchers, slots, starts, data, offsets, out): put the outcome of each row into `out`, or -2 - combination."},
    {"locate", locate, METH_VARARGS,
     "locate(data, offsets, codes, starts, longest): number the texts before the third slash, and list them."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernel", "The compiled tier of the audit.", -1, functions};

PyMODINIT_FUNC PyInit__kernel(void) {
    for (int byte = 0x21; byte < 0x7F; byte++) plain_byte[byte] = strchr("#$%*", byte) == NULL;
    if (PyType_Ready(&MatcherType) < 0) return NULL;
    PyObject *made = PyModule_Create(&module);
    if (made == NULL) return NULL;
    Py_INCREF(&MatcherType);
    if (PyModule_AddObject(made, "Matcher", (PyObject *)&MatcherType) < 0) {
        Py_DECREF(&MatcherType);
        Py_CLEAR(made);
    }
    return made;
}
