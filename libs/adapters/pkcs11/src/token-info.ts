/** CKF_TOKEN_INITIALIZED: without it a slot holds a blank token (CK_TOKEN_INFO; PKCS#11 v2.40, clause 3.2). */
export const CKF_TOKEN_INITIALIZED = 0x400

/** Length of the label of a token in UTF-8, filled up with spaces (same place). */
export const TOKEN_LABEL_BYTES = 32
