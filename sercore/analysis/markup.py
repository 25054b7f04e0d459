"""HTML that names of classes, speakers and corpora, transcripts and messages cannot break out of."""

from markupsafe import Markup


def markup(template: str, *values: object, **named: object) -> Markup:
    """`template`, a format of HTML that we wrote, with values that are shown as they are, whatever signs they hold.

    A value that is Markup itself, as another result of this, is put in as HTML.

    >>> markup("<p>{} of <b>{name}</b></p>", markup("<i>{}</i>", "1 < 2"), name="<b>")
    Markup('<p><i>1 &lt; 2</i> of <b>&lt;b&gt;</b></p>')
    """
    return Markup(template).format(*values, **named)
