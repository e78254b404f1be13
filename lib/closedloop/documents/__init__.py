"""What people read: sentences, figures, tables, and the documents that are made of them."""
